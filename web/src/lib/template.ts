// The variables of a template, so that the editor can declare those that are new.

/** What a template does with a variable: puts it into the text, walks through it, or only asks for it in a condition. */
export type Use = "text" | "list" | "condition";

/** Comments and raw blocks, which are passed by; expressions; statements. */
const PARTS = /\{#[\s\S]*?#\}|\{%[-+]?\s*raw\s*[-+]?%\}[\s\S]*?\{%[-+]?\s*endraw\s*[-+]?%\}|\{\{[-+]?([\s\S]*?)[-+]?\}\}|\{%[-+]?\s*(\w+)([\s\S]*?)[-+]?%\}/g;
const STRINGS = /"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'/g;
/** A name, with what stands before it (an attribute's point, a filter's bar, a test) and behind it (a call, a named argument). */
const NAMES = /(?:([.|]\s*)|\b(is\s+(?:not\s+)?))?(?<!\w)([A-Za-z_]\w*)(\s*\(|\s*=(?!=))?/g;
const WORDS = new Set(["and", "or", "not", "in", "is", "if", "else", "true", "false", "none", "True", "False", "None", "recursive"]);

/** The names that an expression reads. */
function namesOf(expression: string): string[] {
  return [...expression.replace(STRINGS, '""').matchAll(NAMES)].flatMap(([, member, test, name, behind]) => (member || test || behind || !name || WORDS.has(name) ? [] : [name]));
}

/** The variables that a template reads, in order, without those that it binds itself. */
export function variablesOf(text: string): Map<string, Use> {
  const found = new Map<string, Use>();
  const scopes: Set<string>[] = [new Set()];
  const bind = (names: string) => { for (const name of names.match(/[A-Za-z_]\w*/g) ?? []) scopes.at(-1)?.add(name); };
  const read = (expression: string, use: Use) => {
    for (const name of namesOf(expression)) {
      if (scopes.some((scope) => scope.has(name))) continue;
      if (!found.has(name) || (use !== "condition" && found.get(name) === "condition")) found.set(name, use);
    }
  };
  for (const [, expression, statement, rest = ""] of text.matchAll(PARTS)) {
    if (expression !== undefined) read(expression, "text");
    else if (statement === "for") {
      const [, names = "", list = ""] = /^([\s\S]*?)\bin\b([\s\S]*)$/.exec(rest) ?? [];
      const [walked = "", ...condition] = list.split(/\bif\b/);
      read(walked, /^\s*[A-Za-z_]\w*\s*(\||$)/.test(walked.replace(/\brecursive\b/, "")) ? "list" : "text");
      scopes.push(new Set(["loop"]));
      bind(names);
      read(condition.join(" "), "condition");
    } else if (statement === "set" || statement === "with") {
      if (statement === "with") scopes.push(new Set());
      const at = rest.search(/=(?!=)/);
      if (at >= 0) read(rest.slice(at + 1), "text");
      bind(at >= 0 ? rest.slice(0, at) : rest.split("|")[0] ?? "");
      // `with a = 1, b = 2` binds all of them.
      if (statement === "with") for (const [, name] of rest.replace(STRINGS, '""').matchAll(/,\s*([A-Za-z_]\w*)\s*=(?!=)/g)) bind(name ?? "");
    } else if (statement === "macro") {
      const [, name = "", args = ""] = /^\s*(\w+)\s*\(([\s\S]*)\)/.exec(rest) ?? [];
      bind(name);
      scopes.push(new Set());
      bind(args.replace(STRINGS, ""));
    } else if (statement === "if" || statement === "elif") read(rest, "condition");
    else if ((statement === "endfor" || statement === "endwith" || statement === "endmacro") && scopes.length > 1) scopes.pop();
  }
  return found;
}
