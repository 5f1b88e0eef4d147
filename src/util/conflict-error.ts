/** A precondition of `apply` failed, or a change named a missing repository. Nothing was changed. */
export class ConflictError extends Error {
  override readonly name = 'ConflictError';
}
