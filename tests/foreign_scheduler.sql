-- The tables of openclaw-scheduler 0.2.4 (schema version 23) that an import reads, as that program makes them.

CREATE TABLE jobs (
  id TEXT PRIMARY KEY, name TEXT NOT NULL, enabled INTEGER NOT NULL DEFAULT 1, schedule_kind TEXT NOT NULL DEFAULT
  'cron', schedule_at TEXT DEFAULT NULL, schedule_cron TEXT, schedule_tz TEXT NOT NULL DEFAULT 'UTC', session_target
  TEXT NOT NULL DEFAULT 'isolated', agent_id TEXT DEFAULT 'main', payload_kind TEXT NOT NULL, payload_message TEXT NOT
  NULL, payload_model TEXT, payload_thinking TEXT, payload_timeout_seconds INTEGER DEFAULT 120, execution_intent TEXT
  NOT NULL DEFAULT 'execute', execution_read_only INTEGER NOT NULL DEFAULT 0, overlap_policy TEXT NOT NULL DEFAULT
  'skip', run_timeout_ms INTEGER NOT NULL DEFAULT 300000, max_queued_dispatches INTEGER NOT NULL DEFAULT 25,
  max_pending_approvals INTEGER NOT NULL DEFAULT 10, max_trigger_fanout INTEGER NOT NULL DEFAULT 25, delivery_mode
  TEXT DEFAULT 'announce', delivery_channel TEXT, delivery_to TEXT, created_at TEXT NOT NULL DEFAULT
  (datetime('now')), updated_at TEXT NOT NULL DEFAULT (datetime('now')), delete_after_run INTEGER NOT NULL DEFAULT 0,
  ttl_hours INTEGER DEFAULT NULL, parent_id TEXT, trigger_on TEXT, trigger_delay_s INTEGER DEFAULT 0,
  trigger_condition TEXT DEFAULT NULL, max_retries INTEGER DEFAULT 0, queued_count INTEGER DEFAULT 0, payload_scope
  TEXT NOT NULL DEFAULT 'own', resource_pool TEXT DEFAULT NULL, delivery_guarantee TEXT DEFAULT 'at-most-once',
  job_class TEXT DEFAULT 'standard', approval_required INTEGER DEFAULT 0, approval_timeout_s INTEGER DEFAULT 3600,
  approval_auto TEXT DEFAULT 'reject', context_retrieval TEXT DEFAULT 'none', context_retrieval_limit INTEGER DEFAULT
  5, output_store_limit_bytes INTEGER NOT NULL DEFAULT 65536, output_excerpt_limit_bytes INTEGER NOT NULL DEFAULT
  65536, output_summary_limit_bytes INTEGER NOT NULL DEFAULT 65536, output_offload_threshold_bytes INTEGER NOT NULL
  DEFAULT 65536, preferred_session_key TEXT DEFAULT NULL, auth_profile TEXT DEFAULT NULL, delivery_opt_out_reason TEXT
  DEFAULT NULL, origin TEXT DEFAULT NULL, identity_principal TEXT DEFAULT NULL, identity_run_as TEXT DEFAULT NULL,
  identity_attestation TEXT DEFAULT NULL, identity_ref TEXT DEFAULT NULL, identity_subject_kind TEXT DEFAULT NULL,
  identity_subject_principal TEXT DEFAULT NULL, identity_trust_level TEXT DEFAULT NULL, identity_delegation_mode TEXT
  DEFAULT NULL, identity TEXT DEFAULT NULL, authorization_proof_ref TEXT DEFAULT NULL, authorization_proof TEXT
  DEFAULT NULL, authorization_ref TEXT DEFAULT NULL, authorization TEXT DEFAULT NULL, evidence_ref TEXT DEFAULT NULL,
  evidence TEXT DEFAULT NULL, contract_required_trust_level TEXT DEFAULT NULL, contract_trust_enforcement TEXT DEFAULT
  NULL, contract_sandbox TEXT DEFAULT NULL, contract_allowed_paths TEXT DEFAULT NULL, contract_network TEXT DEFAULT
  NULL, contract_max_cost_usd REAL DEFAULT NULL, contract_audit TEXT DEFAULT NULL, child_credential_policy TEXT
  DEFAULT NULL, job_type TEXT NOT NULL DEFAULT 'standard', watchdog_target_label TEXT, watchdog_check_cmd TEXT,
  watchdog_timeout_min INTEGER, watchdog_alert_channel TEXT, watchdog_alert_target TEXT, watchdog_self_destruct
  INTEGER NOT NULL DEFAULT 1, watchdog_started_at TEXT, next_run_at TEXT, last_run_at TEXT, last_status TEXT,
  consecutive_errors INTEGER NOT NULL DEFAULT 0, CHECK ( delivery_mode NOT IN ('announce', 'announce-always') OR
  (delivery_to IS NOT NULL AND delivery_to != '') )
);

CREATE TABLE runs (
  id TEXT PRIMARY KEY, job_id TEXT NOT NULL REFERENCES jobs(id) ON DELETE CASCADE, status TEXT NOT NULL DEFAULT
  'pending', started_at TEXT NOT NULL DEFAULT (datetime('now')), finished_at TEXT, duration_ms INTEGER, last_heartbeat
  TEXT NOT NULL DEFAULT (datetime('now')), session_key TEXT, session_id TEXT, summary TEXT, error_message TEXT,
  shell_exit_code INTEGER, shell_signal TEXT, shell_timed_out INTEGER NOT NULL DEFAULT 0, shell_stdout TEXT,
  shell_stderr TEXT, shell_stdout_path TEXT, shell_stderr_path TEXT, shell_stdout_bytes INTEGER NOT NULL DEFAULT 0,
  shell_stderr_bytes INTEGER NOT NULL DEFAULT 0, dispatched_at TEXT, run_timeout_ms INTEGER NOT NULL DEFAULT 300000,
  retry_count INTEGER DEFAULT 0, retry_of TEXT, triggered_by_run TEXT, dispatch_queue_id TEXT REFERENCES
  job_dispatch_queue(id) ON DELETE SET NULL, context_summary TEXT, replay_of TEXT, idempotency_key TEXT,
  identity_resolved TEXT DEFAULT NULL, trust_evaluation TEXT DEFAULT NULL, authorization_decision TEXT DEFAULT NULL,
  authorization_proof_verification TEXT DEFAULT NULL, evidence_record TEXT DEFAULT NULL, credential_handoff_summary
  TEXT DEFAULT NULL
);

CREATE TABLE delivery_aliases (
  alias TEXT PRIMARY KEY, channel TEXT NOT NULL, target TEXT NOT NULL, description TEXT, created_at TEXT DEFAULT
  (datetime('now'))
);

CREATE TABLE job_dispatch_queue (
  id TEXT PRIMARY KEY, job_id TEXT NOT NULL REFERENCES jobs(id) ON DELETE CASCADE, dispatch_kind TEXT NOT NULL, status
  TEXT NOT NULL DEFAULT 'pending', scheduled_for TEXT NOT NULL, source_run_id TEXT REFERENCES runs(id) ON DELETE SET
  NULL, retry_of_run_id TEXT REFERENCES runs(id) ON DELETE SET NULL, created_at TEXT NOT NULL DEFAULT
  (datetime('now')), claimed_at TEXT, processed_at TEXT
);

CREATE TABLE idempotency_ledger (
  key TEXT PRIMARY KEY, job_id TEXT NOT NULL, run_id TEXT NOT NULL, status TEXT NOT NULL DEFAULT 'claimed', claimed_at
  TEXT NOT NULL DEFAULT (datetime('now')), released_at TEXT, result_hash TEXT, expires_at TEXT NOT NULL
);

CREATE TABLE schema_migrations (
  version INTEGER PRIMARY KEY, applied_at TEXT NOT NULL DEFAULT (datetime('now'))
);
