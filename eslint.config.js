import { builtinRules } from "eslint/use-at-your-own-risk";
import tseslint from "typescript-eslint";

const TYPESCRIPT = ["src/**/*.ts", "backends/**/*.ts", "test/**/*.ts", "*.config.ts"];
const PRODUCT = ["src/**/*.ts", "backends/**/*.ts"];

/** What each folder of src may import from the others; the order is that of the layers. */
const LAYERS = {
  vfs: [],
  observability: ["vfs"],
  native: ["vfs"],
  tar: ["vfs"],
  layer: ["vfs", "native", "tar"],
  config: ["vfs", "observability"],
  fuse: ["vfs", "native", "config", "observability"],
  "vhost-user": ["vfs", "native", "config", "observability"],
  app: ["vfs", "native", "config", "observability", "fuse", "vhost-user", "backends"],
  cli: ["vfs", "config", "observability", "app", "layer"],
};

/** What each backend may import from src. */
const BACKENDS = {
  passthrough: ["vfs", "native"],
  memory: ["vfs", "native", "tar"],
  overlay: ["vfs"],
  s3: ["vfs"],
};

/** Packages that one folder alone may use. */
const PACKAGES = {
  commander: "src/cli",
  inversify: "src/app",
  zod: "src/config",
  pino: "src/observability",
  fzstd: "src/layer",
  "@aws-sdk": "backends/s3",
};

function without(names, allowed) {
  return names.filter((name) => !allowed.includes(name));
}

/** Restricts static and dynamic imports alike: `patterns` are { regex, message }. */
function restrict(files, patterns) {
  return {
    files,
    rules: {
      "no-restricted-imports": ["error", { patterns }],
      "no-restricted-syntax": [
        "error",
        ...patterns.map(({ regex, message }) => ({
          selector: `ImportExpression[source.value=/${regex.replaceAll("/", "\\u002f")}/]`,
          message,
        })),
      ],
    },
  };
}

function forbiddenFolders(here, folders) {
  return {
    regex: `^\\.\\.?/(.*/)?(${folders.join("|")})/`,
    message: `${here} must not import this folder: see LAYERS and BACKENDS in eslint.config.js`,
  };
}

function forbiddenPackages(here) {
  const names = Object.keys(PACKAGES).filter((name) => PACKAGES[name] !== here);
  return { regex: `^(${names.join("|")})(/|$)`, message: `only its own folder imports this package` };
}

const ADDON = {
  regex: "(^node:module$)|(native/addon(\\.js)?$)",
  message: "only src/native/addon.ts loads the addon, and only src/native wraps it",
};

function layerRules() {
  const folders = [...Object.keys(LAYERS), "backends"];
  const inSource = Object.entries(LAYERS).map(([name, allowed]) => {
    const here = `src/${name}`;
    const patterns = [
      forbiddenFolders(here, without(folders, [...allowed, name])),
      forbiddenPackages(here),
      ...(name === "native" ? [] : [ADDON]),
    ];
    return restrict([`${here}/**/*.ts`], patterns);
  });
  const inBackends = Object.entries(BACKENDS).map(([name, allowed]) => {
    const here = `backends/${name}`;
    const others = without([...folders, ...Object.keys(BACKENDS)], [...allowed, name]);
    return restrict([`${here}/**/*.ts`], [forbiddenFolders(here, others), forbiddenPackages(here), ADDON]);
  });
  return [...inSource, ...inBackends];
}

const size = { rules: { "max-lines": builtinRules.get("max-lines") } };

export default tseslint.config(
  { ignores: ["dist/", "build/", "build-*/", "coverage/", ".cache/", "node_modules/"] },
  {
    files: TYPESCRIPT,
    plugins: { "@typescript-eslint": tseslint.plugin, size },
    languageOptions: {
      parser: tseslint.parser,
      parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname },
    },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      "@typescript-eslint/no-explicit-any": "error",
      "@typescript-eslint/no-floating-promises": "error",
      "@typescript-eslint/no-misused-promises": "error",
      "@typescript-eslint/switch-exhaustiveness-check": "error",
      "@typescript-eslint/only-throw-error": "error",
      "max-lines": ["error", 600],
      "size/max-lines": ["warn", 400],
    },
  },
  { files: PRODUCT, rules: { "max-lines-per-function": ["error", { max: 50, IIFEs: true }] } },
  { files: ["**/*.js", "**/*.mjs"], rules: { "max-lines": ["error", 600] } },
  ...layerRules(),
);
