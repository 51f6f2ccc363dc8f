//! SWIM membership, cluster formation and the view.
