import type { ExceededUsage } from '../ports/metadata/quotas.js';

/** A precondition of `apply` failed, or a change named a missing repository. Nothing was changed. */
export class ConflictError extends Error {
  override readonly name = 'ConflictError';
  /** Set when the precondition `usage` failed. */
  readonly exceeded: ExceededUsage | undefined;

  constructor(message: string, exceeded?: ExceededUsage) {
    super(message);
    this.exceeded = exceeded;
  }
}
