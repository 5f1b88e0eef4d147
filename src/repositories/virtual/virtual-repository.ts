/**
 * Virtual repositories: several repositories under one name. `virtual-members.ts` decides who is asked,
 * `virtual-writer.ts` passes writes to the push target. Imported by the composition root; imports content/ and remote/
 * of the other folders.
 */
import type {
  Caller,
  Explanation,
  Listed,
  Repository,
  RepositoryBlob,
  RepositoryWriter,
  TagEntry,
} from '../../ports/repository.js';
import type {
  ManifestContent,
  ManifestInfo,
  Provenance,
  Referrer,
  ImageKey,
  ImagePage,
  ImagePageRequest,
  ReferrerPageRequest,
} from '../../ports/metadata/images.js';
import type { PageRequest } from '../../ports/pages.js';
import type { Digest } from '../../protocol/digest.js';
import type { Reference } from '../../protocol/names.js';
import type { VirtualRepositoryConfig } from '../../protocol/settings/repository-config.js';
import { isFailure, isMissing } from '../../protocol/upstream/refusal.js';
import { listInReach } from '../../util/reach-listing.js';
import { cutByBytes, mergePages } from '../content/list-pages.js';
import { VirtualMembers } from './virtual-members.js';
import { VirtualEditor } from './virtual-editor.js';
import { VirtualWriter } from './virtual-writer.js';

/** The number of images that are examined for one page, over all members. */
const maxImagesLooked = 10_000;

/** Adds the name of the member that has them to images. */
function nameMember(page: ImagePage, member: string): ImagePage {
  return { ...page, items: page.items.map((item) => ({ ...item, member })) };
}

/** Asks a member, using its own name for the image. */
type Ask<T> = (member: Repository, image: string) => Promise<T | undefined>;

/**
 * Several repositories under one name. By tag, the first member that has it answers, and the first failure ends the
 * search: otherwise a public image could replace a private one of the same name (dependency confusion). For the same
 * reason, no remote is asked for a tag that a local member has, even when the caller may not pull from that member. By
 * digest, the search continues after a failure, because the digest verifies the bytes. It continues after `absent` and
 * `denied` too; when no member has the content and one failed, the failure is thrown.
 */
export class VirtualRepository implements Repository {
  readonly config: VirtualRepositoryConfig;
  readonly #find: (name: string) => Repository | undefined;
  readonly #members: VirtualMembers;

  constructor(config: VirtualRepositoryConfig, find: (name: string) => Repository | undefined) {
    this.config = config;
    this.#find = find;
    this.#members = new VirtualMembers(config, find);
  }

  get pushTo(): string | undefined {
    return this.config.pushTo;
  }

  get writer(): RepositoryWriter | undefined {
    const target = this.pushTo === undefined ? undefined : this.#find(this.pushTo)?.writer;
    if (target === undefined) return undefined;
    const editor = new VirtualEditor(this.config.name, target.editor, (...question) => this.#findMember(...question));
    return new VirtualWriter(
      this.config.name,
      target,
      (caller, image, digest) => this.findHeldBlob(caller, image, digest),
      editor,
    );
  }

  /** Returns the name unchanged: each member has its own canonical names. */
  canonicalImage(image: string): string {
    return image;
  }

  statManifest(caller: Caller, image: string, reference: Reference): Promise<ManifestInfo | undefined> {
    return this.#first(caller, image, reference, (member, own) => member.statManifest(caller, own, reference));
  }

  getManifest(caller: Caller, image: string, reference: Reference): Promise<ManifestContent | undefined> {
    return this.#first(caller, image, reference, (member, own) => member.getManifest(caller, own, reference));
  }

  /**
   * With a push target, clients use HEAD to skip uploads: does not ask upstreams, and answers 200 only for bytes that will be
   * linked when the manifest is pushed.
   */
  async statBlob(caller: Caller, image: string, digest: Digest): Promise<Omit<RepositoryBlob, 'content'> | undefined> {
    if (this.config.pushTo === undefined) {
      return this.#first(caller, image, { digest }, (member, own) => member.statBlob(caller, own, digest));
    }
    const held = await this.findHeldBlob(caller, image, digest);
    return held && { size: held.size, provenance: { repository: held.at.repository, cache: 'hit' } };
  }

  getBlob(caller: Caller, image: string, digest: Digest): Promise<RepositoryBlob | undefined> {
    return this.#first(caller, image, { digest }, (member, own) => member.getBlob(caller, own, digest));
  }

  async findHeldBlob(
    caller: Caller,
    image: string,
    digest: Digest,
  ): Promise<{ at: ImageKey; size: number } | undefined> {
    for (const repository of await this.#members.askable(caller, image)) {
      const held = await repository.findHeldBlob(caller, repository.canonicalImage(image), digest);
      if (held !== undefined && (await caller.mayPull(held.at))) return held;
    }
    return undefined;
  }

  async holdsManifest(caller: Caller, image: string, digest: Digest): Promise<boolean> {
    for (const repository of await this.#members.askable(caller, image)) {
      if (await repository.holdsManifest(caller, repository.canonicalImage(image), digest)) return true;
    }
    return false;
  }

  async listTags(caller: Caller, image: string, page: PageRequest): Promise<Listed<TagEntry> | undefined> {
    const lists = await this.#all(caller, image, (member, own) => member.listTags(caller, own, page));
    return lists.length === 0 ? undefined : mergePages(lists, page.limit, ({ name }) => name);
  }

  async listReferrers(
    caller: Caller,
    image: string,
    subject: Digest,
    page: ReferrerPageRequest,
  ): Promise<Listed<Referrer>> {
    const lists = await this.#all(caller, image, (member, own) => member.listReferrers(caller, own, subject, page));
    return cutByBytes(
      mergePages(lists, page.limit, ({ digest }) => digest),
      page,
    );
  }

  async listImages(caller: Caller, page: ImagePageRequest): Promise<ImagePage> {
    const members = await this.#members.all();
    const maxLooked = Math.max(page.limit + 2, Math.ceil(maxImagesLooked / Math.max(1, members.length)));
    const lists: ImagePage[] = [];
    for (const member of members) {
      // Evaluates rules once for the whole list and patterns once for each image.
      const askable = await this.#members.askableOf(caller, member);
      lists.push(
        await listInReach(askable, page, {
          list: async (part) => nameMember(await member.listImages(caller, part), member.config.name),
          budget: { left: maxLooked },
          hasLeft: () => caller.hasLeft(),
        }),
      );
    }
    return mergePages(lists, page.limit, ({ image }) => image);
  }

  members(caller: Caller, image: string): Promise<readonly Repository[]> {
    return this.#members.askable(caller, image);
  }

  async explain(caller: Caller, image: string, reference: Reference): Promise<Explanation> {
    const members: Explanation[] = [];
    const askable = new Set((await this.#members.askable(caller, image)).map(({ config }) => config.name));
    // Does not reveal members that the caller may not pull from.
    for (const repository of await this.#members.permitted(caller, image)) {
      const { name, type } = repository.config;
      const own = repository.canonicalImage(image);
      const reason = 'excluded by its include, exclude or the reserved patterns';
      if (askable.has(name)) members.push(await repository.explain(caller, own, reference));
      else members.push({ repository: name, type, image: own, answer: 'left out', reason });
    }
    const answering = members.find(({ answer }) => answer !== 'absent' && answer !== 'left out');
    const common = { repository: this.config.name, type: this.config.type, image, members };
    if (answering === undefined) return { ...common, answer: 'absent', reason: 'no member has it' };
    return {
      ...common,
      answer: answering.answer,
      reason: `member "${answering.repository}" is the first that may have it`,
    };
  }

  /** Returns the first member besides the push target that stores a manifest. */
  async #findMember(caller: Caller, image: string, reference: Reference): Promise<string | undefined> {
    for (const member of await this.#members.askable(caller, image)) {
      const { name } = member.config;
      if (name === this.pushTo) continue;
      const own = member.canonicalImage(image);
      const { digest } = await member.explain(caller, own, reference);
      if (digest !== undefined && (await member.holdsManifest(caller, own, digest))) return name;
    }
    return undefined;
  }

  async #first<T extends { readonly provenance?: Provenance }>(
    caller: Caller,
    image: string,
    reference: Reference,
    ask: Ask<T>,
  ): Promise<T | undefined> {
    let failure: unknown;
    let absence: unknown;
    const askable = await this.#members.askable(caller, image);
    const names = new Set(askable.map(({ config }) => config.name));
    const ordered = 'tag' in reference ? await this.#members.admitting(image) : askable;
    let isTaken = false;
    for (const repository of ordered) {
      const { name, type } = repository.config;
      if (!names.has(name)) {
        isTaken ||= type === 'local' && (await repository.statManifest(caller, image, reference)) !== undefined;
        continue;
      }
      if (isTaken && type === 'remote') continue;
      try {
        const answer = await ask(repository, repository.canonicalImage(image));
        const provenance: Provenance = { repository: repository.config.name, cache: 'hit' };
        if (answer !== undefined) return { provenance, ...answer };
      } catch (error) {
        if (isMissing(error)) absence ??= error;
        if (!isFailure(error)) continue;
        if ('tag' in reference) throw error;
        failure ??= error;
      }
    }
    if ((failure ?? absence) !== undefined) throw failure ?? absence;
    return undefined;
  }

  /**
   * Returns the answers of the members that have something. Fails when one member fails: a list must not be incomplete.
   */
  async #all<T>(caller: Caller, image: string, ask: Ask<T>): Promise<T[]> {
    const asked = await this.#members.askable(caller, image);
    const answers = await Promise.all(
      asked.map((repository) =>
        ask(repository, repository.canonicalImage(image)).catch((error: unknown) => {
          if (isFailure(error)) throw error;
          return undefined;
        }),
      ),
    );
    return answers.filter((answer) => answer !== undefined);
  }
}
