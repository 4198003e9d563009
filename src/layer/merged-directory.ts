import { closeSync } from "node:fs";
import { findHostEntry, type HostFile } from "../native/host-file.js";
import type { Marks } from "./marks.js";

/** Directories of one path in several layers: what overlayfs merges. */
interface Part {
  readonly file: HostFile;
  /** Index of its layer, 0 being the top. */
  readonly layer: number;
}

/**
 * A directory as the layers together have it, by the rules of kernel overlayfs: the top layer's directory
 * and those below it that nothing hides, wherever redirects say that they are.
 */
export class MergedDirectory {
  readonly #marks: Marks;
  /** The layers' roots, top first; whoever opened them closes them. */
  readonly #roots: readonly HostFile[];
  /** Top first; never empty. */
  readonly parts: readonly Part[];

  static root(roots: readonly HostFile[], marks: Marks): MergedDirectory {
    return new MergedDirectory(
      marks,
      roots,
      roots.map((file, layer) => ({ file, layer })),
    );
  }

  private constructor(marks: Marks, roots: readonly HostFile[], parts: readonly Part[]) {
    this.#marks = marks;
    this.#roots = roots;
    this.parts = parts;
  }

  /** The topmost part. */
  get top(): HostFile {
    return (this.parts[0] as Part).file;
  }

  /** Whether layers below the top one have a part in it. */
  get isMerged(): boolean {
    return this.parts.length > 1;
  }

  /** Closes the parts: not for a root. */
  close(): void {
    for (const { file } of this.parts) {
      closeSync(file.fd);
    }
  }

  /** The directory under a name, which the top part has; the caller closes it. */
  directory(name: string): MergedDirectory {
    const parts: Part[] = [];
    this.#search(name, ({ file, layer }) => {
      if (file.type !== "directory") {
        closeSync(file.fd);
        return false;
      }
      parts.push({ file, layer });
      return !this.#marks.isOpaque(file.fd);
    });
    return new MergedDirectory(this.#marks, this.#roots, parts);
  }

  /** The first file under a name whose contents are with it, for one whose are below (metacopy). */
  contents(name: string): HostFile | undefined {
    let found: HostFile | undefined;
    this.#search(name, ({ file }) => {
      const isElsewhere = file.type === "file" && this.#marks.get(file.fd, "metacopy") !== undefined;
      if (isElsewhere || file.type !== "file") {
        closeSync(file.fd);
      } else {
        found = file;
      }
      return isElsewhere;
    });
    return found;
  }

  /** What is to be seen under a name; undefined when it is hidden or missing. The caller closes it. */
  find(name: string): HostFile | undefined {
    let found: HostFile | undefined;
    this.#search(name, ({ file }) => {
      if (this.#marks.isWhiteout(file)) {
        closeSync(file.fd);
      } else {
        found = file;
      }
      return false;
    });
    return found;
  }

  /** Visits what the layers have under a name, top first, following redirects, until `visit` says false. */
  #search(name: string, visit: (part: Part) => boolean): void {
    let current = name;
    let path: readonly string[] | undefined;
    const last = this.#roots.length;
    for (let layer = (this.parts[0] as Part).layer; layer < last; layer++) {
      const part = this.parts.find((each) => each.layer === layer);
      const file =
        path === undefined
          ? part && findHostEntry(part.file.fd, current, current)
          : this.#walk(this.#roots[layer] as HostFile, path);
      if (file === undefined) {
        continue;
      }
      // Read before `visit`, which may close the file.
      const redirect = this.#marks.get(file.fd, "redirect");
      if (!visit({ file, layer })) {
        return;
      }
      if (redirect?.startsWith("/") === true) {
        path = redirect.split("/").filter((each) => each !== "");
      } else if (redirect !== undefined) {
        current = redirect;
        path = path && [...path.slice(0, -1), redirect];
      }
    }
  }

  /** What one layer has at a path from its root, links not followed. */
  #walk(root: HostFile, path: readonly string[]): HostFile | undefined {
    if (path.length === 0) {
      return undefined;
    }
    let file = root;
    for (const [index, name] of path.entries()) {
      const next = file.type === "directory" ? findHostEntry(file.fd, name, name) : undefined;
      if (index > 0) {
        closeSync(file.fd);
      }
      if (next === undefined) {
        return undefined;
      }
      file = next;
    }
    return file;
  }
}
