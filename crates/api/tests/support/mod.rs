//! The front door over a real engine, with nothing behind it: no store, no jobs, no logs.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use fornada_api::access_keys::AccessKeys;
use fornada_api::app::{App, Auth};
use fornada_api::limits::Limits;
use fornada_api::{defaults, front};
use fornada_core::arn::Scope;
use fornada_core::attempt::Action;
use fornada_core::history::{PastExecution, PastJob};
use fornada_core::id::{JobId, Uuid};
use fornada_core::instance::Provision;
use fornada_core::job::Job;
use fornada_core::record::{Change, Loaded};
use fornada_core::service_job::ServiceJob;
use fornada_core::state::Settings;
use fornada_core::text::Text;
use fornada_core::time::Timestamp;
use fornada_engine::port::backend::Backend;
use fornada_engine::port::clock::SystemClock;
use fornada_engine::port::log::{
    self, Ends, GroupInfo, GroupSettings, LogAdmin, LogReader, Page, ReadRequest, StreamInfo, StreamName,
    Watch,
};
use fornada_engine::port::provisioner::Provisioner;
use fornada_engine::port::store::{self, Expired, JobIndex, JobPage, JobQuery, ServiceJobQuery, Store};
use fornada_engine::{Engine, Ports};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;

/// Accepts everything and keeps nothing.
struct Nothing;

impl Store for Nothing {
    fn load(&mut self) -> Result<Loaded, store::Error> {
        Ok(Loaded::default())
    }

    fn commit(&mut self, _: &[Change]) -> Result<(), store::Error> {
        Ok(())
    }
}

impl Backend for Nothing {
    fn perform(&self, _: Vec<Action>) {}
}

impl Provisioner for Nothing {
    fn perform(&mut self, _: Vec<Provision>) {}
}

impl JobIndex for Nothing {
    fn list_jobs(&self, _: &JobQuery) -> Result<JobPage, store::Error> {
        Ok(JobPage::default())
    }

    fn list_service_jobs(&self, _: &ServiceJobQuery) -> Result<Vec<Arc<ServiceJob>>, store::Error> {
        Ok(Vec::new())
    }

    fn list_consumers(&self, _: &str, _: Option<u64>, _: u32) -> Result<Vec<Arc<Job>>, store::Error> {
        Ok(Vec::new())
    }

    fn find(&self, _: &[JobId]) -> Result<Vec<(JobId, PastExecution)>, store::Error> {
        Ok(Vec::new())
    }

    fn past_jobs(&self, _: &[Uuid]) -> Result<Vec<PastJob>, store::Error> {
        Ok(Vec::new())
    }

    fn expire(&self, _: Timestamp) -> Result<Expired, store::Error> {
        Ok(Expired::default())
    }
}

impl LogReader for Nothing {
    fn groups(&self, _: &Scope) -> Result<Vec<GroupInfo>, log::Error> {
        Ok(Vec::new())
    }

    fn settings(&self, _: &Scope, _: &str) -> Result<GroupSettings, log::Error> {
        Err(log::Error::NoSuchGroup)
    }

    fn stream_names(&self, _: &Scope, _: &str, _: &str, _: Option<i64>) -> Result<Vec<Text>, log::Error> {
        Err(log::Error::NoSuchGroup)
    }

    fn stream_info(&self, _: &StreamName, _: Option<i64>) -> Result<StreamInfo, log::Error> {
        Err(log::Error::NoSuchGroup)
    }

    fn read(&self, _: &StreamName, _: &ReadRequest) -> Result<Page, log::Error> {
        Err(log::Error::NoSuchGroup)
    }

    fn watch(&self, _: &Scope, _: &[Text]) -> Result<(Box<dyn Watch>, Ends), log::Error> {
        Err(log::Error::NoSuchGroup)
    }

    fn stop_watching(&self) {}
}

impl LogAdmin for Nothing {
    fn create_group(&self, _: &Scope, _: &str, _: GroupSettings, _: Timestamp) -> Result<(), log::Error> {
        Err(log::Error::GroupExists)
    }

    fn delete_group(&self, _: &Scope, _: &str) -> Result<(), log::Error> {
        Err(log::Error::NoSuchGroup)
    }

    fn set_retention(&self, _: &Scope, _: &str, _: Option<u32>, _: Timestamp) -> Result<(), log::Error> {
        Err(log::Error::NoSuchGroup)
    }

    fn create_stream(&self, _: &StreamName, _: Timestamp) -> Result<(), log::Error> {
        Err(log::Error::NoSuchGroup)
    }

    fn put(&self, _: &StreamName, _: &[(i64, &[u8])]) -> Result<u64, log::Error> {
        Err(log::Error::NoSuchGroup)
    }

    fn expire(&self, _: Timestamp) -> Result<u64, log::Error> {
        Ok(0)
    }
}

/// A server with the default environment and queue, as it is after its first start.
pub(crate) async fn server(auth: Auth) -> Router {
    server_on(auth, Box::new(Nothing)).await
}

/// The same on a store of the test's own.
pub(crate) async fn server_on(auth: Auth, store: Box<dyn Store>) -> Router {
    let mut seed = 0;
    let engine = Engine::start(Ports {
        store,
        backend: Box::new(Nothing),
        provisioner: Box::new(Nothing),
        events: None,
        settings: Settings::default(),
        clock: Box::new(SystemClock),
        entropy: Box::new(move || {
            seed += 1;
            seed
        }),
    });
    let dir = tempfile::tempdir().unwrap();
    let app = Arc::new(App {
        engine: engine.unwrap().handle(),
        jobs: Arc::new(Nothing),
        logs: Arc::new(Nothing),
        keys: AccessKeys::load_or_create(&dir.path().join("keys"), "000000000000").unwrap(),
        auth,
        region: "us-east-1".into(),
        account_id: "000000000000".into(),
        clock: Box::new(SystemClock),
        limits: Limits::default(),
        strict: false,
    });
    defaults::create(&app, true).await.unwrap();
    front::router(app)
}

/// An answer, with its body read.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) request_id: Option<String>,
    pub(crate) error_type: Option<String>,
    pub(crate) body: String,
}

pub(crate) async fn ask(server: &Router, request: Request<Body>) -> Answer {
    let response: Response<Body> = server.clone().oneshot(request).await.unwrap();
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let header = |name: &str| Some(head.headers.get(name)?.to_str().unwrap().to_owned());
    let (status, request_id, error_type) =
        (head.status, header("x-amzn-requestid"), header("x-amzn-errortype"));
    Answer { status, request_id, error_type, body: String::from_utf8(body.to_vec()).unwrap() }
}

impl Answer {
    /// The message of an error, which must be whole: a status, a type in header and body, a request id.
    #[track_caller]
    pub(crate) fn error(&self) -> String {
        assert!(self.status.is_client_error(), "{} {}", self.status, self.body);
        let body: Value = serde_json::from_str(&self.body).unwrap();
        let error_type = self.error_type.as_deref().unwrap_or_default();
        assert!(error_type.ends_with("Exception"), "{error_type:?}");
        assert_eq!(body["__type"], error_type);
        assert_eq!(self.request_id.as_deref().map(str::len), Some(36), "{:?}", self.request_id);
        let message = body["message"].as_str().unwrap_or_default();
        assert!(!message.is_empty(), "{body}");
        message.to_owned()
    }
}

pub(crate) fn request(method: &str, path: &str, body: &str) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri(path)
        .header("host", "127.0.0.1:8600")
        .body(Body::from(body.to_owned()))
        .unwrap()
}
