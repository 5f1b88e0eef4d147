/** A precondition of `apply` did not hold, or a change named a repository that is not there: nothing was changed. */
export class ConflictError extends Error {
  override readonly name = 'ConflictError';
}
