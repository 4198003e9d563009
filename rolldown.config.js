import { defineConfig } from "rolldown";

// One file for what every start needs, one more for each backend: a start that resolves and loads
// some four hundred modules one by one takes three times as long.
export default defineConfig({
  input: { main: "src/cli/main.ts" },
  platform: "node",
  resolve: { extensionAlias: { ".js": [".ts", ".js"] } },
  output: {
    dir: "dist",
    format: "esm",
    entryFileNames: "src/cli/[name].js",
    chunkFileNames: "chunks/[name].js",
    sourcemap: true,
  },
});
