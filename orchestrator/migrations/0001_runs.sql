-- What happened: runs, their agents, their jobs, and what those reported.
--
-- The same text is for SQLite and PostgreSQL, so there are four types only: identifiers and JSON are TEXT, numbers and
-- moments (milliseconds since 1970, UTC) are BIGINT. `seq` numbers everything that happens, across all runs, in the order in
-- which it was stored: one process writes, so whoever has read up to a number has missed nothing below it.

CREATE TABLE runs (
  id TEXT PRIMARY KEY,
  -- Where it stands among the others: the `seq` of its creation.
  seq BIGINT NOT NULL UNIQUE,
  project TEXT NOT NULL,
  -- Pending, Dispatching, Running, Draining, Succeeded, Failed, Cancelled
  status TEXT NOT NULL,
  -- Why it failed, for people.
  reason TEXT,
  paused BIGINT NOT NULL DEFAULT 0,
  -- How it ends, where that was decided before its jobs have ended: JSON.
  ending TEXT,
  -- Whether every job is in `jobs`.
  dispatched BIGINT NOT NULL DEFAULT 0,
  -- The request that launched it, as its client calls it.
  idempotency_key TEXT UNIQUE,
  -- The run whose inputs this one was launched with again.
  replay_of TEXT,
  component TEXT,
  component_size BIGINT,
  -- The grant, and what of the project it allows: JSON. Both are missing of a run that somebody else reports.
  granted TEXT,
  capabilities TEXT,
  attempts_per_job BIGINT NOT NULL DEFAULT 1,
  agents BIGINT NOT NULL DEFAULT 0,
  jobs BIGINT NOT NULL DEFAULT 0,
  jobs_succeeded BIGINT NOT NULL DEFAULT 0,
  jobs_failed BIGINT NOT NULL DEFAULT 0,
  jobs_cancelled BIGINT NOT NULL DEFAULT 0,
  created_at BIGINT NOT NULL,
  started_at BIGINT,
  finished_at BIGINT
);

CREATE INDEX runs_by_status ON runs (status, seq);
CREATE INDEX runs_by_finished_at ON runs (finished_at);

CREATE TABLE agents (
  run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
  agent BIGINT NOT NULL,
  -- Opening, Open, Closed, Failed, Lost
  state TEXT NOT NULL,
  message TEXT,
  -- Which process it is now.
  incarnation TEXT,
  starts BIGINT NOT NULL DEFAULT 0,
  updated_at BIGINT NOT NULL,
  PRIMARY KEY (run_id, agent)
);

CREATE TABLE jobs (
  id TEXT PRIMARY KEY,
  run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
  -- Its place in the run, from 0.
  place BIGINT NOT NULL,
  -- Where it stands among all jobs: the `seq` of its creation.
  seq BIGINT NOT NULL UNIQUE,
  -- Waiting (for the queue), Queued, Running, Success, Failed, Cancelled
  status TEXT NOT NULL,
  -- Whether it waits for its time before another attempt. When that comes, the process knows that had it wait.
  delayed BIGINT NOT NULL DEFAULT 0,
  message TEXT NOT NULL,
  attempts BIGINT NOT NULL DEFAULT 0,
  -- How many it may have.
  attempts_allowed BIGINT NOT NULL,
  agent BIGINT,
  -- The process that makes the attempt.
  incarnation TEXT,
  result TEXT,
  error TEXT,
  -- How far it has come: JSON.
  progress TEXT,
  -- Whether its message is to go to the queue of dead jobs still.
  to_bury BIGINT NOT NULL DEFAULT 0,
  created_at BIGINT NOT NULL,
  started_at BIGINT,
  finished_at BIGINT,
  UNIQUE (run_id, place)
);

CREATE INDEX jobs_by_status ON jobs (run_id, status, seq);
-- What is to be put on a queue is found without looking at what waits for its time.
CREATE INDEX jobs_to_queue ON jobs (run_id, seq) WHERE status = 'Waiting' AND delayed = 0;
CREATE INDEX jobs_by_agent ON jobs (run_id, agent, seq);
CREATE INDEX jobs_by_seq ON jobs (run_id, seq);
CREATE INDEX jobs_to_bury ON jobs (run_id, to_bury, place);

CREATE TABLE attempts (
  job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
  attempt BIGINT NOT NULL,
  agent BIGINT NOT NULL,
  incarnation TEXT NOT NULL,
  -- Running, Success, Failed, Cancelled
  status TEXT NOT NULL,
  error TEXT,
  -- How many reports of it came, so that none is stored twice.
  reports BIGINT NOT NULL DEFAULT 0,
  started_at BIGINT NOT NULL,
  finished_at BIGINT,
  PRIMARY KEY (job_id, attempt)
);

-- Events and lines of the log.
CREATE TABLE reports (
  seq BIGINT PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  run_id TEXT NOT NULL,
  job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
  attempt BIGINT NOT NULL,
  -- event, log
  kind TEXT NOT NULL,
  -- info, success, warning, failure; debug, info, warning, error
  level TEXT NOT NULL,
  content TEXT NOT NULL,
  attachment TEXT,
  reported_at BIGINT NOT NULL
);

CREATE INDEX reports_by_job ON reports (job_id, kind, seq);
CREATE INDEX reports_by_run ON reports (run_id, kind, seq);

CREATE TABLE artifacts (
  job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  attempt BIGINT NOT NULL,
  media_type TEXT NOT NULL,
  size BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (job_id, name)
);

-- Everything that happens, in order, for those who watch. Of a report, only that it came: the rest is in `reports`, under
-- the same `seq`.
CREATE TABLE changes (
  seq BIGINT PRIMARY KEY,
  run_id TEXT NOT NULL,
  -- run, agent, job, report, artifact, run_deleted
  kind TEXT NOT NULL,
  -- JSON; missing of a report.
  body TEXT,
  at BIGINT NOT NULL
);

CREATE INDEX changes_by_run ON changes (run_id, seq);
