//! Subjects in ascending order: one look into the index for each, whatever is said of it.

use futures::TryStreamExt as _;
use proto::v1;
use sqlx::{Row as _, SqlitePool};

use crate::error::CallError;
use crate::{limit, prefix};

/// Claims of one subject or with one predicate that are counted; people want to know whether it is one, a dozen or very many.
pub(crate) const COUNTED_MAX: i64 = 10_000;

/// Claims that are counted for one reply: a fraction of a second. Beyond, it ends early.
pub(crate) const COUNTED_ON_PAGE_MAX: u64 = 1_000_000;

const SUBJECTS: &str = "
    WITH RECURSIVE found (subject) AS (
        SELECT (SELECT subject FROM topic WHERE kind = 0 AND subject >= ?1 AND subject < ?2 ORDER BY subject LIMIT 1)
        UNION ALL
        SELECT (SELECT t.subject FROM topic t
                WHERE t.kind = 0 AND t.subject > found.subject AND t.subject < ?2 ORDER BY t.subject LIMIT 1)
        FROM found WHERE found.subject IS NOT NULL)
    SELECT subject,
           (SELECT count(*) FROM (SELECT 1 FROM topic t WHERE t.kind = 0 AND t.subject = found.subject LIMIT ?3))
    FROM found WHERE subject IS NOT NULL LIMIT ?4";

/// Answers a ListSubjects.
///
/// # Errors
/// When the request means nothing, or the database cannot be read.
pub async fn list(
    readers: &SqlitePool,
    request: &v1::ListSubjectsRequest,
) -> Result<v1::ListSubjectsReply, CallError> {
    let v1::ListSubjectsRequest {
        prefix,
        after,
        limit,
    } = request;
    limit::check(*limit)?;
    let first = match after.is_empty() || after < prefix {
        true => prefix.clone(),
        false => prefix::next(after),
    };
    let query = prefix::bind(
        sqlx::query(SUBJECTS).bind(first),
        prefix::above(prefix).as_deref(),
    );
    let mut rows = query.bind(COUNTED_MAX).bind(limit + 1).fetch(readers);
    let mut reply = v1::ListSubjectsReply::default();
    let mut counted = 0;
    while let Some(row) = rows.try_next().await? {
        if reply.subjects.len() == *limit as usize || counted >= COUNTED_ON_PAGE_MAX {
            reply.more = true;
            break;
        }
        let records: u64 = row.try_get(1)?;
        counted += records;
        reply.subjects.push(v1::FoundSubject {
            subject: row.try_get(0)?,
            records,
        });
        tokio::task::consume_budget().await;
    }
    Ok(reply)
}
