//! LLM evaluation, prompts, datasets, gates and experiments as a library.
