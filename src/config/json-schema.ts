import * as z from "zod/mini";
import { shareSchema } from "./share-config.js";

/** The JSON Schema of a share's configuration, for editors and validators: config/share.schema.json. */
export function shareJsonSchema(): string {
  const schema = z.toJSONSchema(shareSchema, { io: "input", target: "draft-2020-12" });
  const titled = { title: "A share of virtiofs-gateway", ...schema };
  return `${JSON.stringify(titled, null, 2)}\n`;
}
