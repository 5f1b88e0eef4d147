import { isDeepStrictEqual } from 'node:util';
import { createLocalAccess } from '../access/local-access.js';
import { createOwnerAccess } from '../access/owner-access.js';
import type { ResolvedOptions } from '../options/options-schema.js';
import type { AccessControl } from '../ports/access/access.js';
import type { MetadataStore } from '../ports/metadata/metadata.js';
import type { Runtime } from '../ports/runtime.js';
import { Closers } from '../util/closers.js';
import type { FolderOwner } from './stores/folder-owner.js';

/** The dependencies of access control, besides the options. */
export interface AccessContext {
  readonly metadata: MetadataStore;
  readonly runtime: Runtime;
  readonly owner: FolderOwner | undefined;
}

/** The access control of a registry, which a reload replaces. */
export class CurrentAccess {
  readonly #context: AccessContext;
  /** The current one, and those that requests in progress still use. */
  readonly #open = new Set<AccessControl>();
  #current: AccessControl;
  #settings: ResolvedOptions['access'];

  private constructor(context: AccessContext, current: AccessControl, { access }: ResolvedOptions) {
    this.#context = context;
    this.#current = current;
    this.#settings = access;
    this.#open.add(current);
  }

  /** @throws HtpasswdError when the htpasswd file cannot be used. */
  static async open(options: ResolvedOptions, context: AccessContext): Promise<CurrentAccess> {
    return new CurrentAccess(context, await openAccessControl(options, context), options);
  }

  get current(): AccessControl {
    return this.#current;
  }

  /**
   * Opens access control for other options; returns the current one if its options are the same.
   * @throws HtpasswdError
   */
  async prepare(options: ResolvedOptions): Promise<AccessControl> {
    if (isDeepStrictEqual(this.#settings, options.access)) return this.#current;
    const prepared = await openAccessControl(options, this.#context);
    this.#open.add(prepared);
    return prepared;
  }

  /** Replaces the current one by a prepared one. Close the replaced one with `discard` when no request uses it. */
  replace(prepared: AccessControl, { access }: ResolvedOptions): void {
    this.#current = prepared;
    this.#settings = access;
  }

  /** Closes one that is not in use, unless it is the current one. */
  async discard(access: AccessControl): Promise<void> {
    if (access === this.#current || !this.#open.delete(access)) return;
    await access.close();
  }

  async close(): Promise<void> {
    const closers = new Closers();
    for (const access of this.#open) closers.add('access control', () => access.close());
    await closers.close();
  }
}

/** Loads the code for rules, tokens and passwords only if there are rules, for a faster start. */
async function openAccessControl(
  { access, prefix }: ResolvedOptions,
  { metadata, runtime, owner }: AccessContext,
): Promise<AccessControl> {
  const configured =
    typeof access === 'string'
      ? createLocalAccess(access)
      : await (await import('../access/open-access.js')).openAccess(access, { metadata, runtime, prefix });
  return owner === undefined ? configured : createOwnerAccess(configured, owner);
}
