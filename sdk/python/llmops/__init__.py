"""Client of llmops: prompts, live traffic, feedback, experiments, datasets, runs and gates.

    from llmops import Client

    client = Client()                                    # LLMOPS_SERVER, LLMOPS_API_KEY
    prompt = client.prompt("support-bot", fallback="Answer the customer: {{ input }}")
    messages = prompt.render(input="What does delivery cost?")
"""

from .client import AsyncClient, Client, Rating
from .errors import ApiError, GateFailed, LlmopsError, RenderError, Unreachable
from .prompts import Message, Prompt, PromptCache
from .testing import assert_gate, assert_run

__version__ = "0.1.0"

__all__ = [
    "ApiError",
    "AsyncClient",
    "Client",
    "GateFailed",
    "LlmopsError",
    "Message",
    "Prompt",
    "PromptCache",
    "Rating",
    "RenderError",
    "Unreachable",
    "assert_gate",
    "assert_run",
]
