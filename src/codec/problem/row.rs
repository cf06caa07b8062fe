//! A line of the table of problems, and how the table is written.

use crate::model::text::Language;

/// One line of the table.
#[derive(Debug)]
pub struct Row {
    pub code: &'static str,
    pub status: u16,
    /// What a client is told to wait when the handler knows nothing better.
    pub retry_after_seconds: Option<u64>,
    pub(super) title: (&'static str, &'static str),
    pub(super) remedy: (&'static str, &'static str),
}

impl Row {
    #[must_use]
    pub fn title(&self, language: Language) -> &'static str {
        in_language(self.title, language)
    }

    #[must_use]
    pub fn remedy(&self, language: Language) -> &'static str {
        in_language(self.remedy, language)
    }
}

fn in_language((zh, en): (&'static str, &'static str), language: Language) -> &'static str {
    match language {
        Language::Zh => zh,
        Language::En => en,
    }
}

macro_rules! problems {
    ($($name:ident $code:literal $status:literal $(retry $retry:literal)? {
        $title_zh:literal, $title_en:literal; $remedy_zh:literal, $remedy_en:literal
    })*) => {
        /// The stable codes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code { $($name),* }

        impl Code {
            pub const ALL: &[Code] = &[$(Code::$name),*];

            #[must_use]
            pub fn row(self) -> &'static Row {
                match self {
                    $(Code::$name => {
                        const ROW: Row = Row {
                            code: $code,
                            status: $status,
                            retry_after_seconds: problems!(@retry $($retry)?),
                            title: ($title_zh, $title_en),
                            remedy: ($remedy_zh, $remedy_en),
                        };
                        &ROW
                    })*
                }
            }
        }
    };
    (@retry) => { None };
    (@retry $seconds:literal) => { Some($seconds) };
}

pub(super) use problems;
