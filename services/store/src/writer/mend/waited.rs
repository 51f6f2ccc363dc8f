//! Records that are waited for though they are here.

use sqlx::Row as _;

use super::Mending;
use super::rows::Row;
use crate::damage::Lost;
use crate::intake::shard_of_record;
use crate::writer::group;

/// Where an id leads to: one look into each shard, since the one that its lost line said may be what was damaged.
const BY_ID: &str = "
    SELECT p.shard, p.sequence FROM shard s
    CROSS JOIN place p ON p.shard = s.shard AND p.id = ?";

impl Mending<'_> {
    /// A record that may be here again without having come: only its id was led astray, and the pass found its row.
    pub(super) async fn waited(&mut self, lost: &Lost) -> Result<(), sqlx::Error> {
        let places = sqlx::query(BY_ID).bind(lost.id.to_vec());
        for place in places.fetch_all(&mut *self.connection).await? {
            let (shard, sequence): (i64, i64) = (place.try_get(0)?, place.try_get(1)?);
            let Row::Sound(record) = self.read(sequence).await? else {
                continue;
            };
            let own = i64::from(shard_of_record(&record, self.num_shards)) == shard;
            if own && *record.id().as_bytes() == lost.id {
                group::heal(&mut *self.connection, std::slice::from_ref(lost)).await?;
                self.healed.push(lost.clone());
                return Ok(());
            }
        }
        Ok(())
    }
}
