// Texts of the server as a page shows them. They are written for everybody who reads the API: people at a terminal, too.

import { sentence } from "./format";

export interface Span {
  text: string;
  code: boolean;
}

/** A text with what stands between backticks, and the commands in it, as code. */
export function spansOf(text: string): Span[] {
  return text
    .split(/(`[^`\n]+`|llmops [a-z]+(?: [a-z-]+)*(?: --[a-z-]+(?: [a-z]+)?)*)/)
    .map((part, i): Span => (i % 2 === 0 ? { text: part, code: false } : { text: part.replaceAll("`", ""), code: true }))
    .filter((span) => span.text !== "");
}

/** With a capital at its beginning, unless it begins with a name: that of a field, a variable, a deployment. */
export const opened = (text: string): string => (/^\p{Ll}+(?:\s|$)/u.test(text) ? sentence(text) : text);

/** A command, or a flag of one. */
const TYPED = /\bllmops [a-z]|(?:^|[\s(`])--[a-z]/;

// Where a part ends: before what can be typed, where another way begins, and at the end of a sentence.
const ENDS = /(; (?:or )?|,? (?:or|then|and) (?=[a-z ]*(?:llmops |--[a-z]))|, (?:or|then) |[:,] (?=[a-z ]*(?:llmops |--[a-z]))| (?=\([^)]*(?:llmops |--[a-z]))|(?<=\.) )/;

/**
 * What is left of a text for a page: all but the commands and flags of the command line, which nobody can type into a page.
 * What they do is a button here. Empty where the text is nothing else.
 */
export function forPage(text: string): string {
  const parts = text.split(ENDS);
  let told = "";
  for (let i = 0; i < parts.length; i += 2) {
    const part = parts[i] ?? "";
    if (part === "" || TYPED.test(part)) continue;
    told += told === "" ? part : `${parts[i - 1] ?? ""}${part}`;
  }
  return told.trim();
}
