//! Lists: their parameters and replies (docs/api.md tells what they are for).

use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::records::{Epoch, Record, SourceRecord, Vote};
use super::replies::Meta;

/// Which epochs.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct EpochsParameters {
    /// Epochs on a page, 1 to 1,000 (100).
    pub limit: Option<u32>,
    /// Where the page before ended.
    pub cursor: Option<String>,
}

/// Which sources.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SourcesParameters {
    /// The start of the uris; without it all.
    #[param(example = "doi:")]
    pub prefix: Option<String>,
    /// `true`: sources that are retracted; `false`: those that are not; without it all.
    pub retracted: Option<bool>,
    /// Sources on a page, 1 to 1,000 (100).
    pub limit: Option<u32>,
    /// Where the page before ended.
    pub cursor: Option<String>,
}

/// Which votes.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct VotesParameters {
    /// The subject of the claims.
    #[param(example = "constant:hubble")]
    pub subject: String,
    /// Id of the one claim; without it all claims of the subject.
    pub assertion: Option<String>,
    /// Votes on a page, 1 to 1,000 (100).
    pub limit: Option<u32>,
    /// Where the page before ended.
    pub cursor: Option<String>,
}

/// Predicates of which subject.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PredicatesParameters {
    /// The subject.
    #[param(example = "constant:hubble")]
    pub subject: String,
    /// Predicates on a page, 1 to 1,000 (100).
    pub limit: Option<u32>,
    /// Where the page before ended.
    pub cursor: Option<String>,
}

/// Records by the beginning of their ids.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct RecordsParameters {
    /// The first digits of the ids: 8 to 64, lowercase hex.
    #[param(example = "eea0ac7d1514", pattern = "^[0-9a-f]{8,64}$")]
    pub id_prefix: String,
    /// Where the page before ended.
    pub cursor: Option<String>,
}

/// A page of records, and what it is worth.
#[derive(Debug, Serialize, ToSchema)]
pub struct RecordsAnswer {
    /// What was found.
    pub result: RecordsPage,
    /// What it is worth.
    pub meta: Meta,
}

/// Records in ascending order of their ids.
#[derive(Debug, Serialize, ToSchema)]
pub struct RecordsPage {
    /// The records.
    pub records: Vec<Record>,
    /// Where the next page starts.
    #[schema(required)]
    pub cursor: Option<String>,
}

/// A page of epochs, and what it is worth.
#[derive(Debug, Serialize, ToSchema)]
pub struct EpochsAnswer {
    /// What was found.
    pub result: EpochsPage,
    /// What it is worth.
    pub meta: Meta,
}

/// Epochs, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct EpochsPage {
    /// The epochs.
    pub epochs: Vec<ListedEpoch>,
    /// Where the next page starts; null on the last one.
    #[schema(required)]
    pub cursor: Option<String>,
}

/// An epoch.
#[derive(Debug, Serialize, ToSchema)]
pub struct ListedEpoch {
    /// The epoch itself.
    pub record: Epoch,
    /// Ids of epochs that supersede it, at most 10.
    pub superseded_by: Vec<String>,
}

/// A page of sources, and what it is worth.
#[derive(Debug, Serialize, ToSchema)]
pub struct SourcesAnswer {
    /// What was found.
    pub result: SourcesPage,
    /// What it is worth.
    pub meta: Meta,
}

/// Sources in ascending order of their uris.
#[derive(Debug, Serialize, ToSchema)]
pub struct SourcesPage {
    /// The latest record of each.
    pub sources: Vec<SourceRecord>,
    /// Where the next page starts; null on the last one.
    #[schema(required)]
    pub cursor: Option<String>,
}

/// A page of votes, and what it is worth.
#[derive(Debug, Serialize, ToSchema)]
pub struct VotesAnswer {
    /// What was found.
    pub result: VotesPage,
    /// What it is worth.
    pub meta: Meta,
}

/// Votes in ascending order of the claims' ids and the voters.
#[derive(Debug, Serialize, ToSchema)]
pub struct VotesPage {
    /// The latest vote of each voter on each claim.
    pub votes: Vec<Vote>,
    /// Where the next page starts; null on the last one.
    #[schema(required)]
    pub cursor: Option<String>,
}

/// A page of predicates, and what it is worth.
#[derive(Debug, Serialize, ToSchema)]
pub struct PredicatesAnswer {
    /// What was found.
    pub result: PredicatesPage,
    /// What it is worth.
    pub meta: Meta,
}

/// Predicates in ascending order of their bytes.
#[derive(Debug, Serialize, ToSchema)]
pub struct PredicatesPage {
    /// The predicates.
    pub predicates: Vec<ListedPredicate>,
    /// Where the next page starts; null on the last one.
    #[schema(required)]
    pub cursor: Option<String>,
}

/// A predicate.
#[derive(Debug, Serialize, ToSchema)]
pub struct ListedPredicate {
    /// The predicate.
    pub predicate: String,
    /// Claims with it, counted up to 10,000.
    pub claims: u64,
}
