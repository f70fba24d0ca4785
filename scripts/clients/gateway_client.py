"""Python clients as people use them, against a running gateway: `python gateway_client.py URL KEY`.

The deployment `bot` answers; behind it is scripts/faults/upstream.py.
"""

import asyncio
import json
import sys

import anthropic
import openai
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel

url, key = sys.argv[1:]
ASKED = [{"role": "user", "content": "hello"}]
ANSWER = "The answer to hello is yes."
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"type": "function", "function": {"name": "weather", "description": "The weather", "parameters": SCHEMA}}
checked = 0


def same(what: str, got, wanted) -> None:
    global checked
    checked += 1
    if got != wanted:
        sys.exit(f"{what}: got {got!r}, expected {wanted!r}")


class Weather(BaseModel):
    city: str
    degrees: int


def openai_client() -> None:
    client = openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)
    whole = client.chat.completions.with_raw_response.create(model="bot", messages=ASKED)
    same("openai whole", whole.parse().choices[0].message.content, ANSWER)
    same("openai usage", whole.parse().usage.total_tokens, 12)
    same("request id", whole.headers["x-llmops-request-id"].startswith("req_"), True)

    options = {"include_usage": True}
    chunks = list(client.chat.completions.create(model="bot", messages=ASKED, stream=True, stream_options=options))
    texts = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    same("openai stream", "".join(texts), ANSWER)
    same("openai usage comes last", (chunks[-1].choices, chunks[-1].usage.total_tokens), ([], 12))

    called = client.chat.completions.create(model="bot", messages=ASKED, tools=[TOOL]).choices[0]
    call = called.message.tool_calls[0]
    same("openai tool", (called.finish_reason, call.function.name), ("tool_calls", "weather"))
    said = [*ASKED, called.message, {"role": "tool", "tool_call_id": call.id, "content": "21"}]
    after = client.chat.completions.create(model="bot", messages=said, tools=[TOOL])
    same("openai after the tool", after.choices[0].finish_reason, "stop")
    with client.chat.completions.stream(model="bot", messages=ASKED, tools=[TOOL]) as stream:
        arguments = stream.get_final_completion().choices[0].message.tool_calls[0].function.arguments
    same("openai streamed tool", json.loads(arguments), {"city": "Berlin"})

    parsed = client.chat.completions.parse(model="bot", messages=ASKED, response_format=Weather)
    same("openai schema", parsed.choices[0].message.parsed, Weather(city="Berlin", degrees=21))
    embedded = client.embeddings.create(model="mock/embedder", input=["a", "b"])
    same("openai embeddings", [len(one.embedding) for one in embedded.data], [2, 2])
    same("openai models", "bot" in [model.id for model in client.models.list()], True)
    try:
        client.chat.completions.create(model="nobody", messages=ASKED)
        sys.exit("an unknown deployment answers")
    except openai.NotFoundError as error:
        same("openai error", (error.code, error.param), ("model_not_found", "model"))
    extra = {"llmops": {"user": "ana", "session": "s1", "tags": {"team": "a"}}}
    tagged = client.chat.completions.create(model="bot", messages=ASKED, extra_body=extra)
    same("openai extra body", tagged.choices[0].message.content, ANSWER)


async def openai_async() -> None:
    client = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=key)
    answers = await asyncio.gather(*(client.chat.completions.create(model="bot", messages=ASKED) for _ in range(50)))
    same("openai async", {answer.choices[0].message.content for answer in answers}, {ANSWER})


def langchain_client() -> None:
    model = ChatOpenAI(base_url=f"{url}/v1", api_key=key, model="bot", max_retries=0)
    same("langchain", model.invoke("hello").content, ANSWER)
    same("langchain stream", "".join(chunk.content for chunk in model.stream("hello")), ANSWER)
    called = model.bind_tools([TOOL]).invoke("hello").tool_calls[0]
    same("langchain tool", (called["name"], called["args"]), ("weather", {"city": "Berlin"}))
    same("langchain schema", model.with_structured_output(Weather).invoke("hello"), Weather(city="Berlin", degrees=21))
    embedder = OpenAIEmbeddings(
        base_url=f"{url}/v1", api_key=key, model="mock/embedder", check_embedding_ctx_length=False
    )
    same("langchain embeddings", embedder.embed_query("a"), [0.5, -0.25])


def anthropic_client() -> None:
    client = anthropic.Anthropic(base_url=url, api_key=key, max_retries=0)
    asked = {"model": "bot", "max_tokens": 100, "messages": ASKED}
    whole = client.messages.create(**asked, system="Be kind.")
    same("anthropic whole", (whole.content[0].text, whole.stop_reason), (ANSWER, "end_turn"))
    same("anthropic usage", (whole.usage.input_tokens, whole.usage.output_tokens), (7, 5))
    with client.messages.stream(**asked) as stream:
        same("anthropic stream", "".join(stream.text_stream), ANSWER)
        same("anthropic streamed usage", stream.get_final_message().usage.output_tokens, 5)
    tool = {"name": "weather", "description": "The weather", "input_schema": SCHEMA}
    called = client.messages.create(**asked, tools=[tool])
    use = called.content[-1]
    same("anthropic tool", (called.stop_reason, use.name, use.input), ("tool_use", "weather", {"city": "Berlin"}))
    result = {"type": "tool_result", "tool_use_id": use.id, "content": "21"}
    said = [*ASKED, {"role": "assistant", "content": called.content}, {"role": "user", "content": [result]}]
    after = client.messages.create(model="bot", max_tokens=100, messages=said, tools=[tool])
    same("anthropic after the tool", after.stop_reason, "end_turn")
    with client.messages.stream(**asked, tools=[tool]) as stream:
        same("anthropic streamed tool", stream.get_final_message().content[-1].input, {"city": "Berlin"})
    try:
        client.messages.create(**{**asked, "model": "nobody"})
        sys.exit("an unknown deployment answers")
    except anthropic.NotFoundError as error:
        same("anthropic error", error.body["type"], "error")


openai_client()
asyncio.run(openai_async())
langchain_client()
anthropic_client()
print(f"Python: {checked} checks hold")
