import type { Group } from "../support/cases.js";
import { creating } from "./creating.js";
import { paths } from "./paths.js";
import { permissions } from "./permissions.js";
import { removal } from "./removing.js";
import { renaming } from "./renaming.js";
import { times } from "./times.js";

/** The whole suite. */
export const allGroups: readonly Group[] = [
  ...creating,
  ...paths,
  ...renaming,
  ...removal,
  ...permissions,
  ...times,
];
