/* Makes relayd/web/relayd.js, which every relayd serves, of src/: one minified module. `--check` only compares.

   esbuild puts the modules together and gives inner properties short names; terser makes the rest short. What is asked of
   them is that the result stays under 6 KB as it travels. */

import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

import { build } from "esbuild";
import { minify } from "terser";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const SOURCE = here("src/index.js");
const SCRIPT = here("../../relayd/web/relayd.js");
const TYPES = [here("src/index.d.ts"), here("../../relayd/web/relayd.d.ts")];
const GZIPPED_BYTES_MAX = 6 * 1024;
const HEAD = "/* relayd.js, Apache-2.0; source: clients/javascript */\n";
// Properties that nobody outside sees, and that are in no message, option or event.
const INNER = ["acked", "authId", "catching", "finish", "give", "hurried", "hz", "idle", "lose", "meets", "named", "newcomers",
  "openedAt", "readers", "rejoined", "setPace", "subs", "whole"];

async function made() {
  const mangleProps = new RegExp(`^(${INNER.join("|")})$`);
  const bundle = await build({ entryPoints: [SOURCE], bundle: true, format: "esm", target: "es2022", mangleProps, write: false });
  const { code } = await minify(bundle.outputFiles[0].text, {
    module: true,
    ecma: 2020,
    compress: { passes: 4, unsafe_arrows: true, unsafe_methods: true },
  });
  return `${HEAD}${code}\n`;
}

const script = await made();
const bytes = gzipSync(script, { level: 9 }).length;
console.log(`relayd.js: ${bytes} bytes gzipped of ${GZIPPED_BYTES_MAX} allowed`);
if (bytes >= GZIPPED_BYTES_MAX) process.exitCode = 1;
if (!process.argv.includes("--check")) {
  writeFileSync(SCRIPT, script);
  copyFileSync(...TYPES);
} else if (script !== readFileSync(SCRIPT, "utf8") || readFileSync(TYPES[0], "utf8") !== readFileSync(TYPES[1], "utf8")) {
  console.error("relayd/web is not what src/ makes: run `make client`");
  process.exitCode = 1;
}
