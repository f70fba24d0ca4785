//! Opening model files: the only place in this crate that touches the disk.

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use thiserror::Error;
use tokenizers::{Tokenizer, TruncationParams};

use super::math::{Activation, Norm};
use super::matmul::Packed;
use super::model::{Layer, Linear, Model, Positions};
use super::safetensors::Tensors;

/// Why a model could not be loaded.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LoadError {
    /// A file could not be read.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{}: {reason}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The model is of a kind that is not supported.
    #[error("unsupported model: {0}")]
    Unsupported(String),
    /// The model has fewer layers than asked for.
    #[error("layer {asked} of a model with {layers} layers")]
    NoSuchLayer {
        /// The layer that was asked for.
        asked: usize,
        /// How many there are.
        layers: usize,
    },
}

impl LoadError {
    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }

    pub(super) fn invalid(path: &Path, reason: impl Display) -> Self {
        Self::Invalid { path: path.to_owned(), reason: reason.to_string() }
    }
}

/// The keys of `config.json`; DistilBERT has its own names for some of them.
#[derive(Deserialize)]
struct Config {
    model_type: String,
    #[serde(alias = "dim")]
    hidden_size: usize,
    #[serde(alias = "n_heads")]
    num_attention_heads: usize,
    #[serde(alias = "n_layers")]
    num_hidden_layers: usize,
    #[serde(alias = "activation", default = "gelu")]
    hidden_act: String,
    #[serde(default = "default_epsilon")]
    layer_norm_eps: f32,
    pad_token_id: Option<u32>,
    position_embedding_type: Option<String>,
}

fn gelu() -> String {
    "gelu".to_owned()
}

fn default_epsilon() -> f32 {
    1e-12
}

/// What differs between the families.
struct Family {
    prefixes: &'static [&'static str],
    layer: &'static str,
    names: LayerNames,
    positions: Positions,
    token_types: bool,
    leading_space: bool,
}

/// The parts of a layer by name.
struct LayerNames {
    query: &'static str,
    key: &'static str,
    value: &'static str,
    attention: &'static str,
    attention_norm: &'static str,
    up: &'static str,
    down: &'static str,
    output_norm: &'static str,
}

const BERT_LAYER: LayerNames = LayerNames {
    query: "attention.self.query",
    key: "attention.self.key",
    value: "attention.self.value",
    attention: "attention.output.dense",
    attention_norm: "attention.output.LayerNorm",
    up: "intermediate.dense",
    down: "output.dense",
    output_norm: "output.LayerNorm",
};

const DISTILBERT_LAYER: LayerNames = LayerNames {
    query: "attention.q_lin",
    key: "attention.k_lin",
    value: "attention.v_lin",
    attention: "attention.out_lin",
    attention_norm: "sa_layer_norm",
    up: "ffn.lin1",
    down: "ffn.lin2",
    output_norm: "output_layer_norm",
};

impl Config {
    fn family(&self) -> Result<Family, LoadError> {
        let bert = |prefixes, positions, leading_space| Family {
            prefixes,
            layer: "encoder.layer",
            names: BERT_LAYER,
            positions,
            token_types: true,
            leading_space,
        };
        let after_padding = Positions::AfterPadding(self.pad_token_id.unwrap_or(1));
        if self.position_embedding_type.as_deref().is_some_and(|kind| kind != "absolute") {
            return Err(LoadError::Unsupported("relative position embeddings".to_owned()));
        }
        if self.num_attention_heads == 0 || !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            return Err(LoadError::Unsupported("width that is not a multiple of the heads".to_owned()));
        }
        match self.model_type.as_str() {
            "bert" => Ok(bert(&["", "bert."], Positions::FromZero, false)),
            "roberta" => Ok(bert(&["", "roberta."], after_padding, true)),
            "xlm-roberta" | "camembert" => Ok(bert(&["", "roberta."], after_padding, false)),
            "distilbert" => Ok(Family {
                prefixes: &["", "distilbert."],
                layer: "transformer.layer",
                names: DISTILBERT_LAYER,
                positions: Positions::FromZero,
                token_types: false,
                leading_space: false,
            }),
            other => Err(LoadError::Unsupported(format!("model type `{other}`"))),
        }
    }

    fn activation(&self) -> Result<Activation, LoadError> {
        match self.hidden_act.as_str() {
            "gelu" => Ok(Activation::Gelu),
            "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => Ok(Activation::GeluTanh),
            "relu" => Ok(Activation::Relu),
            other => Err(LoadError::Unsupported(format!("activation `{other}`"))),
        }
    }
}

/// A model with what its text goes through first.
pub(super) struct Loaded {
    pub(super) model: Model,
    pub(super) tokenizer: Tokenizer,
    /// Layers that the model has, with those that were not loaded.
    pub(super) layers: usize,
    /// Most tokens of a text, with the special ones.
    pub(super) max_tokens: usize,
    /// Whether the tokeniser expects a space before the first word.
    pub(super) leading_space: bool,
}

/// Loads `config.json`, `tokenizer.json` and `model.safetensors` from a directory, and the layers up to `layer`.
pub(super) fn load(directory: &Path, layer: Option<usize>) -> Result<Loaded, LoadError> {
    let path = directory.join("config.json");
    let config: Config = serde_json::from_slice(&read(&path)?).map_err(|error| LoadError::invalid(&path, error))?;
    let family = config.family()?;
    let layers = layer.unwrap_or(config.num_hidden_layers);
    if layers > config.num_hidden_layers {
        return Err(LoadError::NoSuchLayer { asked: layers, layers: config.num_hidden_layers });
    }
    let tensors = Tensors::open(&directory.join("model.safetensors"))?;
    let model = Weights { tensors, prefix: "", epsilon: config.layer_norm_eps }.model(&config, &family, layers)?;
    let max_tokens = model.capacity().min(configured_length(directory)?.unwrap_or(usize::MAX));
    let tokenizer = tokenizer(&directory.join("tokenizer.json"), max_tokens)?;
    let layers = config.num_hidden_layers;
    Ok(Loaded { model, tokenizer, layers, max_tokens, leading_space: family.leading_space })
}

fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    std::fs::read(path).map_err(|error| LoadError::io(path, error))
}

fn tokenizer(path: &Path, max_tokens: usize) -> Result<Tokenizer, LoadError> {
    let mut tokenizer = Tokenizer::from_bytes(read(path)?).map_err(|error| LoadError::invalid(path, error))?;
    let truncation = TruncationParams { max_length: max_tokens, ..TruncationParams::default() };
    tokenizer.with_truncation(Some(truncation)).map_err(|error| LoadError::invalid(path, error))?;
    tokenizer.with_padding(None);
    Ok(tokenizer)
}

/// `model_max_length` of `tokenizer_config.json`: the reference truncates to it, not to the length that
/// `tokenizer.json` mentions. Models without a limit have a number there that no integer holds.
fn configured_length(directory: &Path) -> Result<Option<usize>, LoadError> {
    #[derive(Deserialize)]
    struct TokenizerConfig {
        model_max_length: Option<f64>,
    }
    let path = directory.join("tokenizer_config.json");
    if !path.exists() {
        return Ok(None);
    }
    let config: TokenizerConfig =
        serde_json::from_slice(&read(&path)?).map_err(|error| LoadError::invalid(&path, error))?;
    let length = config.model_max_length.filter(|length| (2.0..1e9).contains(length));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 2 and a billion")]
    Ok(length.map(|length| length as usize))
}

struct Weights {
    tensors: Tensors,
    prefix: &'static str,
    epsilon: f32,
}

impl Weights {
    fn model(mut self, config: &Config, family: &Family, layers: usize) -> Result<Model, LoadError> {
        let word = "embeddings.word_embeddings.weight";
        let found = family.prefixes.iter().find(|prefix| self.tensors.contains(&format!("{prefix}{word}")));
        self.prefix = found.copied().unwrap_or_default();
        let width = config.hidden_size;
        let mut places = self.matrix("embeddings.position_embeddings.weight", width)?;
        if family.token_types {
            // Every text is of the first type, so its vector joins the positions once.
            let types = self.matrix("embeddings.token_type_embeddings.weight", width)?;
            for place in places.chunks_exact_mut(width) {
                for (value, of_type) in place.iter_mut().zip(&types) {
                    *value += of_type;
                }
            }
        }
        let names = &family.names;
        let mut model = Model {
            width,
            heads: config.num_attention_heads,
            activation: config.activation()?,
            positions: family.positions,
            words: self.matrix(word, width)?,
            places,
            norm: self.norm("embeddings.LayerNorm", width)?,
            layers: Vec::with_capacity(layers),
        };
        for index in 0..layers {
            let at = |part: &str| format!("{}.{index}.{part}", family.layer);
            let up = self.linear(&at(names.up), width, None)?;
            let inner = up.bias.len();
            model.layers.push(Layer {
                projections: self.projections([&at(names.query), &at(names.key), &at(names.value)], width)?,
                attention: self.linear(&at(names.attention), width, Some(width))?,
                attention_norm: self.norm(&at(names.attention_norm), width)?,
                up,
                down: self.linear(&at(names.down), inner, Some(width))?,
                output_norm: self.norm(&at(names.output_norm), width)?,
            });
        }
        Ok(model)
    }

    fn read(&mut self, name: &str) -> Result<(Vec<f32>, Vec<usize>), LoadError> {
        self.tensors.read(&format!("{}{name}", self.prefix))
    }

    /// A tensor of rows of `inner` values, at least one.
    fn matrix(&mut self, name: &str, inner: usize) -> Result<Vec<f32>, LoadError> {
        let (values, shape) = self.read(name)?;
        match shape[..] {
            [rows, columns] if rows > 0 && columns == inner => Ok(values),
            _ => Err(self.wrong_shape(name)),
        }
    }

    fn vector(&mut self, name: &str, length: usize) -> Result<Vec<f32>, LoadError> {
        let (values, _) = self.read(name)?;
        if values.len() == length { Ok(values) } else { Err(self.wrong_shape(name)) }
    }

    fn wrong_shape(&self, name: &str) -> LoadError {
        LoadError::Unsupported(format!("tensor {}{name} has another shape than the configuration says", self.prefix))
    }

    fn linear(&mut self, name: &str, inner: usize, columns: Option<usize>) -> Result<Linear, LoadError> {
        let weights = self.matrix(&format!("{name}.weight"), inner)?;
        let bias = self.vector(&format!("{name}.bias"), columns.unwrap_or(weights.len() / inner.max(1)))?;
        Ok(Linear { weights: Packed::from_weights(&weights, inner), bias })
    }

    fn projections(&mut self, names: [&str; 3], width: usize) -> Result<Linear, LoadError> {
        let (mut weights, mut bias) = (Vec::new(), Vec::new());
        for name in names {
            weights.extend(self.matrix(&format!("{name}.weight"), width)?);
            bias.extend(self.vector(&format!("{name}.bias"), width)?);
        }
        if weights.len() != 3 * width * width {
            return Err(self.wrong_shape(names[0]));
        }
        Ok(Linear { weights: Packed::from_weights(&weights, width), bias })
    }

    fn norm(&mut self, name: &str, width: usize) -> Result<Norm, LoadError> {
        // Early checkpoints, converted from TensorFlow, kept its names.
        let [scale, shift] = if self.tensors.contains(&format!("{}{name}.gamma", self.prefix)) {
            ["gamma", "beta"]
        } else {
            ["weight", "bias"]
        };
        Ok(Norm {
            scale: self.vector(&format!("{name}.{scale}"), width)?,
            shift: self.vector(&format!("{name}.{shift}"), width)?,
            epsilon: self.epsilon,
        })
    }
}
