// Compresses what Vite built, and writes what it was built from.
//
//   node scripts/pack.mjs           texts become NAME.br and NAME.gz; sources.sha256 names the sources
//   node scripts/pack.mjs --check DIRECTORY    fails unless the committed files are what lies in DIRECTORY, uncompressed
import { createHash } from "node:crypto";
import { readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { brotliCompressSync, constants, gunzipSync, gzipSync } from "node:zlib";

const web = join(import.meta.dirname ?? new URL(".", import.meta.url).pathname, "..");
const built = join(web, "../crates/server/assets/dashboard");
const TEXT = /\.(js|css|html|svg|txt)$/;

function files(folder) {
  return readdirSync(folder)
    .sort()
    .flatMap((name) => {
      const path = join(folder, name);
      return statSync(path).isDirectory() ? files(path) : [path];
    });
}

/** What decides the build: a line for each source with its SHA-256, in the order of their names. */
function sources() {
  const all = [...files(join(web, "src")), ...files(join(web, "public")), ...["index.html", "package-lock.json", "vite.config.ts"].map((name) => join(web, name))];
  return all
    .filter((path) => !path.endsWith(".test.ts") && !path.endsWith("schema.d.ts"))
    .map((path) => `${createHash("sha256").update(readFileSync(path)).digest("hex")}  ${relative(web, path)}\n`)
    .sort((a, b) => (a.slice(66) < b.slice(66) ? -1 : 1))
    .join("");
}

function pack() {
  for (const path of files(built)) {
    if (!TEXT.test(path)) continue;
    const text = readFileSync(path);
    writeFileSync(`${path}.gz`, gzipSync(text, { level: 9 }));
    writeFileSync(`${path}.br`, brotliCompressSync(text, { params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: text.length } }));
    rmSync(path);
  }
  writeFileSync(join(built, "sources.sha256"), sources());
}

function check(fresh) {
  const committed = new Map();
  for (const path of files(built)) {
    const name = relative(built, path);
    if (name === "sources.sha256" || name.endsWith(".br")) continue;
    committed.set(name.replace(/\.gz$/, ""), name.endsWith(".gz") ? gunzipSync(readFileSync(path)) : readFileSync(path));
  }
  const names = files(fresh).map((path) => relative(fresh, path));
  const wrong = names.filter((name) => !committed.get(name)?.equals(readFileSync(join(fresh, name))));
  const gone = [...committed.keys()].filter((name) => !names.includes(name));
  if (wrong.length + gone.length > 0) {
    console.error(`The committed dashboard is not what its sources make: run \`make web\`.\n  differs: ${wrong.join(", ") || "nothing"}\n  left over: ${gone.join(", ") || "nothing"}`);
    process.exit(1);
  }
}

const at = process.argv.indexOf("--check");
if (at > 0) check(process.argv[at + 1]);
else pack();
