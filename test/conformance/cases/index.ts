import type { Group } from "../support/cases.js";
import { attributes } from "./attributes.js";
import { creating } from "./creating.js";
import { data } from "./data.js";
import { directories } from "./directories.js";
import { locks } from "./locks.js";
import { paths } from "./paths.js";
import { permissions } from "./permissions.js";
import { removal } from "./removing.js";
import { renaming } from "./renaming.js";
import { space } from "./space.js";
import { times } from "./times.js";
import { xattrs } from "./xattrs.js";

/** The whole suite. */
export const allGroups: readonly Group[] = [
  ...creating,
  ...paths,
  ...renaming,
  ...removal,
  ...permissions,
  ...times,
  ...attributes,
  ...data,
  ...space,
  ...directories,
  ...xattrs,
  ...locks,
];
