//! Form of the texts of a request: GBNF, or a JSON Schema.

use nearfield_host::Error;
use nearfield_host::grammar::{Json, schema};

use crate::body::Body;
use crate::engine::grammars::{Grammars, HeldGrammar};
use crate::error::{ApiError, Result};

/// Form that a request asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Form {
    /// Grammar in llama.cpp's GBNF.
    Gbnf(String),
    /// JSON Schema, and the field that has it.
    Schema(&'static str, Json),
}

impl Form {
    /// Form of a request, in the fields of OpenAI's API and of llama.cpp's server; `None` if it asks for none.
    ///
    /// # Errors
    /// 400 with the name of a field that is wrong, or for two forms.
    pub fn of(body: &Body) -> Result<Option<Self>> {
        let grammar = body.get::<String>("grammar")?.filter(|text| !text.is_empty()).map(Self::Gbnf);
        let schema = body.ordered("json_schema")?.map(|schema| Self::Schema("json_schema", schema));
        let response = Self::of_response_format(body)?;
        let mut forms = [grammar, schema, response].into_iter().flatten();
        match (forms.next(), forms.next()) {
            (form, None) => Ok(form),
            (_, Some(_)) => Err(ApiError::bad("grammar, json_schema and response_format: a text has one form")),
        }
    }

    fn of_response_format(body: &Body) -> Result<Option<Self>> {
        const NAME: &str = "response_format";
        let Some(format) = body.object(NAME)? else { return Ok(None) };
        let ordered = body.ordered(NAME)?.unwrap_or(Json::Null);
        match format.need::<String>("type")?.as_str() {
            "text" => Ok(None),
            "json_object" => {
                // llama.cpp's server takes a schema here.
                let any_object = || Json::Object(vec![("type".into(), Json::String("object".into()))]);
                Ok(Some(Self::Schema(NAME, ordered.get("schema").cloned().unwrap_or_else(any_object))))
            }
            "json_schema" => match ordered.get("json_schema").and_then(|named| named.get("schema")) {
                Some(schema) => Ok(Some(Self::Schema(NAME, schema.clone()))),
                None => Err(ApiError::field(
                    NAME,
                    "response_format.json_schema.schema is missing: it has to be a JSON Schema",
                )),
            },
            other => {
                let message =
                    format!("response_format.type has to be text, json_object or json_schema, it is {other:?}");
                Err(ApiError::unsupported(NAME, message))
            }
        }
    }

    /// The grammar of the form, of the matchers of a model.
    ///
    /// # Errors
    /// 400 for a form that is no grammar, or one that the model cannot spell.
    pub fn compile(&self, grammars: &'static Grammars) -> Result<HeldGrammar> {
        match self {
            Self::Gbnf(text) => grammars.compile(text).map_err(|error| wrong("grammar", &error)),
            Self::Schema(param, schema) => {
                let grammar = schema::to_gbnf(schema).and_then(|text| grammars.compile(&text));
                grammar.map_err(|error| wrong(param, &error))
            }
        }
    }
}

fn wrong(param: &str, error: &Error) -> ApiError {
    ApiError::field(param, format_args!("{error:#}")).with_code("invalid_grammar")
}
