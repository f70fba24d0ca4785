//! Where a canary stands, and where it can go from there:
//! `draft → shadowing → exposing (stage by stage) → promoting → promoted`, with pauses and the wait for an approval on the
//! way, and `aborted` from everywhere but the end.

use serde::{Deserialize, Serialize};

use super::policy::Guardrail;

/// Where a canary stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum CanaryState {
    /// It was made and not started.
    Draft,
    /// The candidate answers unseen.
    Shadowing,
    /// A share of users sees the candidate's answers.
    Exposing {
        /// The stage, a position in the policy's `stages`.
        stage: usize,
    },
    /// Nothing is answered by the candidate until it is resumed.
    Paused {
        /// The stage that it goes on with; absent: unseen.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stage: Option<usize>,
    },
    /// The candidate has proved itself, and a person must approve.
    AwaitingApproval,
    /// The deployment is being pointed to the candidate.
    Promoting,
    /// The candidate is live.
    Promoted,
    /// A dry run ended: the candidate would have been promoted.
    Concluded,
    /// It ended without a promotion.
    Aborted {
        /// Why.
        cause: AbortCause,
    },
}

/// Why a canary was aborted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AbortCause {
    /// The candidate loses: even the upper bound of the net win rate is a loss.
    NetLoss,
    /// A guardrail is broken.
    Guardrail(Guardrail),
    /// The budget is spent.
    Budget,
    /// The window ended, and the candidate had not proved itself.
    WindowOver,
    /// Another manifest went live: there is nothing to compare with any more.
    ProductionChanged,
    /// A person did it.
    Person,
}

impl AbortCause {
    /// Whether somebody must look at once.
    pub fn is_critical(self) -> bool {
        matches!(self, Self::NetLoss | Self::Guardrail(_) | Self::Budget)
    }

    /// In words.
    pub fn describe(self) -> String {
        match self {
            Self::NetLoss => "the candidate loses".to_owned(),
            Self::Guardrail(guardrail) => format!("the guardrail {guardrail} is broken"),
            Self::Budget => "the budget is spent".to_owned(),
            Self::WindowOver => "the window ended without a conclusion".to_owned(),
            Self::ProductionChanged => "another manifest went live meanwhile".to_owned(),
            Self::Person => "it was aborted by hand".to_owned(),
        }
    }
}

/// A step that is not possible.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a canary that is {from} cannot become {to}: {}", .possible)]
pub struct InvalidCanaryStep {
    /// Where it stands.
    pub from: &'static str,
    /// Where it should go.
    pub to: &'static str,
    /// What is possible instead.
    pub possible: &'static str,
}

impl CanaryState {
    /// The name as written in JSON and the database.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Shadowing => "shadowing",
            Self::Exposing { .. } => "exposing",
            Self::Paused { .. } => "paused",
            Self::AwaitingApproval => "awaiting_approval",
            Self::Promoting => "promoting",
            Self::Promoted => "promoted",
            Self::Concluded => "concluded",
            Self::Aborted { .. } => "aborted",
        }
    }

    /// Whether the candidate answers requests now.
    pub fn is_under_way(&self) -> bool {
        matches!(self, Self::Shadowing | Self::Exposing { .. })
    }

    /// Whether nothing will happen any more.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Promoted | Self::Concluded | Self::Aborted { .. })
    }

    /// What people can do with it.
    fn possible(&self) -> &'static str {
        match self {
            Self::Draft => "it can be started or aborted",
            Self::Shadowing | Self::Exposing { .. } => "it can be paused, promoted or aborted",
            Self::Paused { .. } => "it can be resumed, promoted or aborted",
            Self::AwaitingApproval => "it can be approved or aborted",
            Self::Promoting => "it is being promoted",
            Self::Promoted | Self::Concluded | Self::Aborted { .. } => "it is over; start another",
        }
    }

    /// Whether a state leads to another.
    ///
    /// # Errors
    /// [`InvalidCanaryStep`] with what is possible instead.
    pub fn check_step(&self, to: &Self) -> Result<(), InvalidCanaryStep> {
        let fits = match (self, to) {
            (state, _) if state.is_final() => false,
            (_, Self::Aborted { .. })
            | (Self::Draft | Self::Paused { stage: None }, Self::Shadowing)
            | (Self::Shadowing, Self::Paused { stage: None } | Self::AwaitingApproval | Self::Concluded)
            | (Self::Shadowing | Self::AwaitingApproval, Self::Exposing { stage: 0 })
            | (
                Self::Shadowing | Self::Exposing { .. } | Self::Paused { .. } | Self::AwaitingApproval,
                Self::Promoting,
            )
            | (Self::Promoting, Self::Promoted | Self::Paused { .. }) => true,
            (Self::Exposing { stage }, Self::Exposing { stage: next }) => *next == stage + 1,
            (Self::Exposing { stage }, Self::Paused { stage: Some(kept) })
            | (Self::Paused { stage: Some(kept) }, Self::Exposing { stage }) => stage == kept,
            _ => false,
        };
        if fits {
            return Ok(());
        }
        Err(InvalidCanaryStep { from: self.as_str(), to: to.as_str(), possible: self.possible() })
    }

    /// The state behind a pause.
    #[must_use]
    pub fn paused(&self) -> Self {
        match self {
            Self::Exposing { stage } => Self::Paused { stage: Some(*stage) },
            _ => Self::Paused { stage: None },
        }
    }

    /// The state that a pause goes on with.
    #[must_use]
    pub fn resumed(&self) -> Self {
        match self {
            Self::Paused { stage: Some(stage) } => Self::Exposing { stage: *stage },
            _ => Self::Shadowing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps() {
        use CanaryState::{AwaitingApproval, Draft, Exposing, Paused, Promoted, Promoting, Shadowing};
        let aborted = || CanaryState::Aborted { cause: AbortCause::Person };
        let check = |from: &CanaryState, to: &CanaryState, expected: bool| {
            assert_eq!(from.check_step(to).is_ok(), expected, "{from:?} to {to:?}");
        };
        let all = [
            Draft,
            Shadowing,
            Exposing { stage: 0 },
            Exposing { stage: 1 },
            Paused { stage: None },
            Paused { stage: Some(1) },
            AwaitingApproval,
            Promoting,
            Promoted,
            aborted(),
        ];
        for state in &all {
            check(state, &aborted(), !state.is_final());
            check(state, &Draft, false);
        }
        check(&Draft, &Shadowing, true);
        check(&Draft, &Promoting, false);
        check(&Shadowing, &Exposing { stage: 0 }, true);
        check(&Shadowing, &Exposing { stage: 1 }, false);
        check(&Exposing { stage: 0 }, &Exposing { stage: 1 }, true);
        check(&Exposing { stage: 1 }, &Exposing { stage: 0 }, false);
        check(&Exposing { stage: 1 }, &Shadowing, false);
        check(&Exposing { stage: 1 }.paused(), &Exposing { stage: 1 }, true);
        check(&Paused { stage: Some(1) }, &Exposing { stage: 2 }, false);
        assert_eq!(Exposing { stage: 1 }.paused().resumed(), Exposing { stage: 1 });
        assert_eq!(Shadowing.paused().resumed(), Shadowing);
        check(&AwaitingApproval, &Promoting, true);
        check(&Promoting, &Promoted, true);
        check(&Promoted, &Shadowing, false);
        insta::assert_snapshot!(Promoted.check_step(&Shadowing).unwrap_err(), @"a canary that is promoted cannot become shadowing: it is over; start another");
    }

    #[test]
    fn states_read_well_as_json() {
        let cause = AbortCause::Guardrail(Guardrail::Cost);
        let text =
            serde_json::to_string(&[CanaryState::Exposing { stage: 1 }, CanaryState::Aborted { cause }]).unwrap();
        insta::assert_snapshot!(text, @r#"[{"status":"exposing","stage":1},{"status":"aborted","cause":{"guardrail":"cost"}}]"#);
    }
}
