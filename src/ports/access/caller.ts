/** Who makes a request, as the domain sees it. */
import type { WireName } from '../../protocol/names.js';
import type { Principal, Reach } from './access.js';
import type { ImageKey } from '../metadata/images.js';
import type { Actor } from '../metadata/journal.js';

/**
 * Who makes a request. Repositories use it when an answer could reveal the content of another image, and attribute
 * changes to it.
 */
export interface Caller {
  readonly principal: Principal;
  /** The actor to attribute changes to. */
  readonly actor: Actor;
  /** The image of a virtual repository through which a change came. Absent: the change names the image itself. */
  readonly requested?: ImageKey;
  /** The registries that passed the request on (`Via`), for loop detection. */
  readonly trail: readonly string[];
  /**
   * Whether the caller may pull from a member of the requested repository.
   * @throws RegistryError UNAUTHORIZED to ask for a login.
   */
  mayPull(at: ImageKey): Promise<boolean>;
  /** Returns the images of a repository that `mayPull` allows, for lists. Never asks for a login. */
  reach(repository: string): Promise<Reach>;
  /** Returns whether the connection is closed, so that long-running work can stop. */
  hasLeft(): boolean;
  /** Whether the caller may mount from another image than the requested one. The limits of its token apply. */
  mayMountFrom(at: ImageKey, name?: WireName): Promise<boolean>;
}
