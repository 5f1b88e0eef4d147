import type {
  DeletionReport,
  DeletionRequest,
  ImageEditor,
  MovedTag,
  RefusedDeletion,
  TagMoveRequest,
} from '../../ports/editing.js';
import type { Caller } from '../../ports/repository.js';
import { RegistryError } from '../../protocol/errors.js';
import type { Reference } from '../../protocol/names.js';

/** Finds a member besides the push target that has something in its store. Asks no upstream. */
type FindMember = (caller: Caller, image: string, reference: Reference) => Promise<string | undefined>;

/** Changes images of the push target of a virtual repository. Errors name the member that has content that the target lacks. */
export class VirtualEditor implements ImageEditor {
  readonly #name: string;
  readonly #target: ImageEditor;
  readonly #findMember: FindMember;

  constructor(name: string, target: ImageEditor, findMember: FindMember) {
    this.#name = name;
    this.#target = target;
    this.#findMember = findMember;
  }

  async delete(
    caller: Caller,
    image: string,
    request: DeletionRequest,
    options: { readonly dryRun: boolean },
  ): Promise<DeletionReport> {
    const report = await this.#target.delete(through(caller, this.#name, image), image, request, options);
    const refused: RefusedDeletion[] = [];
    for (const one of report.refused) refused.push(await this.#nameMember(caller, image, one));
    return { ...report, refused };
  }

  async moveTag(caller: Caller, image: string, request: TagMoveRequest): Promise<MovedTag> {
    try {
      return await this.#target.moveTag(through(caller, this.#name, image), image, request);
    } catch (error) {
      if (!(error instanceof RegistryError) || error.code !== 'MANIFEST_UNKNOWN') throw error;
      const member = await this.#findMember(caller, image, request.reference);
      if (member === undefined) throw error;
      const message = `member "${member}" has the manifest, but tags can only be set in the push target`;
      throw new RegistryError('MANIFEST_UNKNOWN', { message, detail: { member }, cause: error });
    }
  }

  async #nameMember(caller: Caller, image: string, one: RefusedDeletion): Promise<RefusedDeletion> {
    const { tag, digest, reason } = one;
    const reference = tag === undefined ? digest && { digest } : { tag };
    if (reason !== 'unknown' || reference === undefined) return one;
    const member = await this.#findMember(caller, image, reference);
    return member === undefined ? one : { ...one, reason: 'member', by: member };
  }
}

/** Returns the caller with the image that it named: hooks see it beside the image of the push target. */
export function through(caller: Caller, repository: string, image: string): Caller {
  return { ...caller, requested: { repository, image } };
}
