/** Monitoring: figures over time, and the latest requests. */
import type { RequestEvent } from '../runtime.js';

/** The length of the period that a sample describes. */
export type SampleStep = 'hour' | 'day';

/** The content of a repository at the end of a period, and its activity in the period. */
export interface RepositorySample {
  /** Each digest counts once per image. Absent while it is unknown, and for repositories that store nothing. */
  readonly bytes?: number;
  readonly images?: number;
  /** GET requests that sent a manifest. */
  readonly pulls: number;
  /** Manifests that were pushed. */
  readonly pushes: number;
  /** Answers of a cache, by outcome. */
  readonly hit: number;
  readonly miss: number;
  readonly stale: number;
  /** Bytes of content that an upstream sent. */
  readonly upstreamBytes: number;
}

/** The figures of one period. */
export interface Sample {
  /** When the period began, in milliseconds since the epoch. */
  readonly at: number;
  /** By the name of the repository. */
  readonly repositories: Readonly<Record<string, RepositorySample>>;
}

/** The samples of the past. Part of the index. */
export interface Samples {
  /** Returns the samples of periods that began in `[since, before)`, oldest first. */
  read(step: SampleStep, range: { readonly since: number; readonly before: number }): Promise<readonly Sample[]>;
}

/** The figures of the registry over time. */
export interface Statistics {
  /**
   * Returns the samples since a time, oldest first, including the current period. Periods in which the registry did not
   * run have none. Hours are kept for 31 days, days for two years.
   */
  read(step: SampleStep, since: number): Promise<readonly Sample[]>;
}

/** A request that was answered. */
export interface AnsweredRequest extends RequestEvent {
  /** When it was answered, in milliseconds since the epoch. */
  readonly at: number;
  /** Its number since the process started, from 1. */
  readonly seq: number;
}

/** The latest requests, in memory. */
export interface RecentRequests {
  /** Returns at most `limit` requests with a larger number, oldest first. */
  after(seq: number, limit: number): readonly AnsweredRequest[];
  /** Returns the last `limit` requests, oldest first. */
  latest(limit: number): readonly AnsweredRequest[];
}
