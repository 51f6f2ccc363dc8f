pub mod clock {
    pub fn boot_ms() -> u64 { let t = rustix::time::clock_gettime(rustix::time::ClockId::Boottime); t.tv_sec as u64*1000 + t.tv_nsec as u64/1_000_000 }
    pub fn unix_ms() -> i64 { std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64 }
}
pub fn node_id(name: &str) -> [u8;16] { let mut o=[0;16]; o.copy_from_slice(&blake3::hash(name.as_bytes()).as_bytes()[..16]); o }
pub mod grpc { pub type Channel = tonic::transport::Channel; }
#[derive(Clone)]
pub struct Shutdown(std::sync::Arc<(tokio::sync::watch::Sender<bool>, tokio::sync::watch::Receiver<bool>)>);
impl Shutdown {
    pub fn new() -> Self { Self(std::sync::Arc::new(tokio::sync::watch::channel(false))) }
    pub async fn cancelled(&self) { let mut r = self.0.1.clone(); let _ = r.wait_for(|x| *x).await; }
    pub fn is_cancelled(&self) -> bool { *self.0.1.borrow() }
    pub fn trigger(&self) { self.0.0.send_replace(true); }
}
pub fn channel(a: std::net::SocketAddr) -> grpc::Channel { tonic::transport::Endpoint::from_shared(format!("http://{a}")).unwrap().connect_timeout(std::time::Duration::from_secs(1)).connect_lazy() }
pub async fn serve(s: crate::grpc::MembershipService, l: tokio::net::TcpListener, shutdown: Shutdown) -> Result<(), String> {
    tonic::transport::Server::builder().add_service(proto::v1::membership_server::MembershipServer::new(s)).serve_with_incoming_shutdown(tokio_stream::wrappers::TcpListenerStream::new(l), async move { shutdown.cancelled().await }).await.map_err(|e| e.to_string())
}
