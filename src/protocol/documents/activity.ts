/** Who made a change, and how: `basic`, `bearer`, `session`, `host`, `code`, `job`, `system` or `anonymous`. */
export interface ActorDocument {
  readonly principal: string;
  readonly via: string;
  readonly request_id?: string;
  readonly address?: string;
  readonly user_agent?: string;
}

/** A change in the journal. Fields that do not apply are absent. */
export interface EventDocument {
  readonly seq: number;
  readonly at: string;
  readonly type: string;
  readonly by: ActorDocument;
  readonly repository?: string;
  readonly image?: string;
  readonly tag?: string;
  /** The manifest, or the new digest of a tag. */
  readonly digest?: string;
  /** The previous digest of a tag. */
  readonly was?: string;
  readonly override?: true;
  /** The id of a document, such as a job. */
  readonly id?: string;
}

/** A page of events. */
export interface EventsDocument {
  readonly events: readonly EventDocument[];
  /** Where the next page in the same direction begins. `null`: nothing older is left. */
  readonly cursor: string | null;
  /** The newest event, in the answer to a request without a cursor. */
  readonly latest?: string;
}

/** A job that runs, or the record of one that ended. */
export interface JobDocument {
  readonly id: string;
  readonly kind: string;
  /** `waiting`: its plan needs a confirmation. `partly`: its report lists problems. */
  readonly state: 'running' | 'waiting' | 'succeeded' | 'partly' | 'failed' | 'cancelled';
  readonly dry_run: boolean;
  readonly params: Readonly<Record<string, unknown>>;
  readonly by: ActorDocument;
  readonly started_at: string;
  readonly finished_at?: string;
  readonly confirmed_by?: ActorDocument;
  readonly cancelled_by?: ActorDocument;
  readonly done?: number;
  readonly total?: number;
  /** The unit of `done`: `blobs`, `bytes`. */
  readonly unit?: string;
  readonly eta_at?: string;
  /** The result. The fields depend on the kind. */
  readonly report?: Readonly<Record<string, unknown>>;
  readonly error?: string;
}

/** Something that a retention plan deletes. */
export interface PlannedItemDocument {
  readonly kind: 'tag' | 'manifest';
  readonly repository: string;
  readonly image: string;
  readonly tag?: string;
  readonly digest: string;
  readonly because: string;
  readonly last_used_at: string;
  /** It waits for a confirmation. */
  readonly waiting: boolean;
}

/** A page of the plan of a retention job. */
export interface PlanDocument {
  readonly total: number;
  readonly items: readonly PlannedItemDocument[];
}
