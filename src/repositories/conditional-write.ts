import { ConflictError } from '../util/conflict-error.js';
import type { Change, MetadataStore, Precondition } from '../ports/metadata.js';

/** Applies the changes if the preconditions hold; false when they do not, or a repository was deleted meanwhile. */
export async function applyIf(
  metadata: MetadataStore,
  changes: readonly Change[],
  require: readonly Precondition[],
  { durable = false }: { readonly durable?: boolean } = {},
): Promise<boolean> {
  try {
    await metadata.apply(changes, { durable, require });
    return true;
  } catch (error) {
    if (error instanceof ConflictError) return false;
    throw error;
  }
}
