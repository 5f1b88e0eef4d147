import type { Caller, Repository } from '../../ports/repository.js';
import type { Reach } from '../../ports/access/access.js';
import { hasOfficialImages, toCanonicalImage, withCanonicalPatterns } from '../../protocol/docker-hub.js';
import { matchesAny } from '../../protocol/patterns.js';
import type {
  RepositoryConfig,
  VirtualMember,
  VirtualRepositoryConfig,
} from '../../protocol/settings/repository-config.js';
import { WalkBudget, walkGraph } from '../../util/scheduling/graph-walk.js';

/** Whether the patterns on a path admit an image. `reserved`: to local members only, so that no remote is asked. */
type Admission = 'open' | 'reserved' | 'closed';

/**
 * The admissions of a path for the image's name and for its name on Docker Hub: a path may lead to members that know `alpine`
 * and to others that know it as `library/alpine`.
 */
interface Admissions {
  readonly plain: Admission;
  readonly official: Admission;
}

interface MemberNode {
  readonly config: RepositoryConfig;
  /** Absent for the virtual repository itself. */
  readonly repository?: Repository;
  readonly admits: Admissions;
}

/** Selects members. */
interface MemberQuestion {
  /** Absent: every member in the configuration, whatever its patterns. */
  readonly image?: string;
  /** Absent: members that the caller may not pull from count too. */
  readonly caller?: Caller;
  readonly ignorePatterns?: boolean;
  /** Selects only this local or remote repository. */
  readonly only?: string;
}

/**
 * The local and remote repositories behind a virtual one, each once, in the order in which they are asked. Nested
 * virtual repositories are flattened, so that locals come before remotes and reserved names never reach a remote,
 * whatever the nesting. A repository on several paths is asked when one of them admits it. Deleted repositories are
 * skipped.
 */
export class VirtualMembers {
  readonly #config: VirtualRepositoryConfig;
  readonly #find: (name: string) => Repository | undefined;

  constructor(config: VirtualRepositoryConfig, find: (name: string) => Repository | undefined) {
    this.#config = config;
    this.#find = find;
  }

  all(): Promise<readonly Repository[]> {
    return this.#list({});
  }

  /**
   * Returns the members that are asked for this image. The caller may pull the image from each repository on the path.
   */
  askable(caller: Caller, image: string): Promise<readonly Repository[]> {
    return this.#list({ caller, image });
  }

  /** Returns the members that patterns admit for this image, whether or not the caller may pull from them. */
  admitting(image: string): Promise<readonly Repository[]> {
    return this.#list({ image });
  }

  /** Returns the images for which a member is askable. Evaluates the rules of each repository on the path once. */
  async askableOf(caller: Caller, member: Repository): Promise<Reach> {
    const only = member.config.name;
    const reaches = new Map<string, Reach>();
    for (const next of [...(await this.#stepsThatLead({ only })).values()].flat()) {
      const { name } = next.config;
      if (!reaches.has(name)) reaches.set(name, await caller.reach(name));
    }
    const leads = (node: MemberNode, image: string, seen: Set<string>): boolean => {
      if (node.config.type !== 'virtual') return true;
      if (seen.has(keyOf(node))) return false;
      seen.add(keyOf(node));
      const onward = this.#stepsFrom(node, { image, only });
      return onward.some((next) => reaches.get(next.config.name)?.has(image) === true && leads(next, image, seen));
    };
    const kind = kindOf(member.config);
    const root = { config: this.#config, admits: { plain: 'closed', official: 'closed', [kind]: 'open' } } as const;
    return { prefixes: reaches.get(only)?.prefixes ?? [], has: (image) => leads(root, image, new Set()) };
  }

  /** Returns the members that the caller may pull this image from, including those that patterns exclude. */
  permitted(caller: Caller, image: string): Promise<readonly Repository[]> {
    return this.#list({ caller, image, ignorePatterns: true });
  }

  async #list(question: MemberQuestion): Promise<readonly Repository[]> {
    const { caller, image } = question;
    const steps = await this.#stepsThatLead(question);
    const found = new Map<string, Repository>();
    const children = async (node: MemberNode): Promise<readonly MemberNode[]> => {
      const permitted: MemberNode[] = [];
      for (const next of steps.get(keyOf(node)) ?? []) {
        const at = { repository: next.config.name, image: next.repository?.canonicalImage(image ?? '') ?? '' };
        if (caller === undefined || (await caller.mayPull(at))) permitted.push(next);
      }
      return permitted;
    };
    for await (const { config, repository } of this.#walk(children)) {
      if (repository !== undefined && config.type !== 'virtual') found.set(config.name, repository);
    }
    const asListed = this.#config.order === 'as-listed';
    return asListed ? [...found.values()] : [...found.values()].toSorted((a, b) => rank(a) - rank(b));
  }

  /** Returns the steps from each node that lead to a member, so that only members that could answer require a login. */
  async #stepsThatLead(question: MemberQuestion): Promise<ReadonlyMap<string, readonly MemberNode[]>> {
    const steps = new Map<string, readonly MemberNode[]>();
    const children = (node: MemberNode): readonly MemberNode[] => {
      const next = this.#stepsFrom(node, question);
      steps.set(keyOf(node), next);
      return next;
    };
    const leading = new Set<string>();
    for await (const node of this.#walk(children)) {
      const onward = (steps.get(keyOf(node)) ?? []).filter((next) => leading.has(keyOf(next)));
      steps.set(keyOf(node), onward);
      if (onward.length > 0 || node.config.type !== 'virtual') leading.add(keyOf(node));
    }
    return steps;
  }

  #stepsFrom({ config, admits }: MemberNode, { image, ignorePatterns = false, only }: MemberQuestion): MemberNode[] {
    if (config.type !== 'virtual') return [];
    const checked = ignorePatterns ? undefined : image;
    return config.members.flatMap((member): MemberNode[] => {
      const repository = this.#find(member.name);
      if (repository === undefined) return [];
      const { type, name } = repository.config;
      if (type !== 'virtual' && only !== undefined && name !== only) return [];
      const onward = checked === undefined ? admits : admitOnward(admits, config, member, checked);
      if (!leadsOn(repository.config, onward)) return [];
      return [{ config: repository.config, repository, admits: onward }];
    });
  }

  #walk(children: (node: MemberNode) => readonly MemberNode[] | Promise<readonly MemberNode[]>) {
    return walkGraph<MemberNode>({
      roots: [{ config: this.#config, admits: { plain: 'open', official: 'open' } }],
      keyOf,
      children,
      // Administrators configure this graph and each step is taken at most twice, so it needs no limit.
      maxDepth: Infinity,
      budget: new WalkBudget(Infinity),
    });
  }
}

function keyOf({ config, admits }: MemberNode): string {
  return `${config.name} ${admits.plain} ${admits.official}`;
}

function kindOf(config: RepositoryConfig): keyof Admissions {
  return config.type === 'remote' && hasOfficialImages(config) ? 'official' : 'plain';
}

function leadsOn(config: RepositoryConfig, admits: Admissions): boolean {
  if (config.type === 'virtual') return admits.plain !== 'closed' || admits.official !== 'closed';
  const admission = admits[kindOf(config)];
  return admission === 'open' || (admission === 'reserved' && config.type === 'local');
}

function admitOnward(
  before: Admissions,
  { reserved }: VirtualRepositoryConfig,
  { include, exclude }: VirtualMember,
  image: string,
): Admissions {
  const admit = (admission: Admission, matches: (patterns: readonly string[]) => boolean): Admission => {
    if (admission === 'closed' || matches(exclude) || (include.length > 0 && !matches(include))) return 'closed';
    return matches(reserved) ? 'reserved' : admission;
  };
  const canonical = toCanonicalImage(image);
  return {
    plain: admit(before.plain, (patterns) => matchesAny(patterns, image)),
    official: admit(before.official, (patterns) => matchesAny(withCanonicalPatterns(patterns), canonical)),
  };
}

function rank({ config }: Repository): number {
  return config.type === 'remote' ? 1 : 0;
}
