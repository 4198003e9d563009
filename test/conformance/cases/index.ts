import type { Group } from "../support/cases.js";
import { creating } from "./creating.js";
import { paths } from "./paths.js";

/** The whole suite. */
export const allGroups: readonly Group[] = [...creating, ...paths];
