// Node clients as people use them, against a running gateway: node gateway_client.mjs URL KEY
// The deployment `bot` answers; behind it is scripts/faults/upstream.py.
import assert from "node:assert/strict";

import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";

const [url, key] = process.argv.slice(2);
const messages = [{ role: "user", content: "hello" }];
const answer = "The answer to hello is yes.";
const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
let checked = 0;
function same(what, got, wanted) {
  checked += 1;
  assert.deepEqual(got, wanted, what);
}

const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: key, maxRetries: 0 });
const { data, response } = await openai.chat.completions.create({ model: "bot", messages }).withResponse();
same("whole", data.choices[0].message.content, answer);
same("request id", response.headers.get("x-llmops-request-id").startsWith("req_"), true);

let text = "";
let last;
const options = { include_usage: true };
for await (const chunk of await openai.chat.completions.create({ model: "bot", messages, stream: true, stream_options: options })) {
  text += chunk.choices[0]?.delta?.content ?? "";
  last = chunk;
}
same("stream", text, answer);
same("usage comes last", [last.choices, last.usage.total_tokens], [[], 12]);

const tools = [{ type: "function", function: { name: "weather", parameters } }];
const called = await openai.chat.completions.create({ model: "bot", messages, tools });
same("tool", called.choices[0].message.tool_calls[0].function.name, "weather");
const streamed = await openai.chat.completions.stream({ model: "bot", messages, tools }).finalChatCompletion();
same("streamed tool", JSON.parse(streamed.choices[0].message.tool_calls[0].function.arguments), { city: "Berlin" });
const format = { type: "json_schema", json_schema: { name: "weather", schema: parameters } };
const shaped = await openai.chat.completions.create({ model: "bot", messages, response_format: format });
same("schema", JSON.parse(shaped.choices[0].message.content).city, "Berlin");
const embedded = await openai.embeddings.create({ model: "mock/embedder", input: "a", encoding_format: "float" });
same("embeddings", embedded.data[0].embedding, [0.5, -0.25]);
await assert.rejects(openai.chat.completions.create({ model: "nobody", messages }), { status: 404, code: "model_not_found" });

const anthropic = new Anthropic({ baseURL: url, apiKey: key, maxRetries: 0 });
const message = await anthropic.messages.create({ model: "bot", max_tokens: 100, messages });
same("anthropic", [message.content[0].text, message.stop_reason], [answer, "end_turn"]);
const final = await anthropic.messages.stream({ model: "bot", max_tokens: 100, messages }).finalMessage();
same("anthropic stream", [final.content[0].text, final.usage.output_tokens], [answer, 5]);
const tool = { name: "weather", input_schema: parameters };
const using = await anthropic.messages.stream({ model: "bot", max_tokens: 100, messages, tools: [tool] }).finalMessage();
same("anthropic tool", using.content.at(-1).input, { city: "Berlin" });

console.log(`Node: ${checked} checks hold`);
