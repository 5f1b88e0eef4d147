import type { Documents } from '../../ports/metadata/documents.js';
import type { Change, MetadataWriter, Precondition } from '../../ports/metadata/metadata.js';
import type { Actor, Attribution } from '../../ports/metadata/journal.js';
import type { RuleBook, RuleRecord } from '../../ports/access/access.js';
import type { Runtime } from '../../ports/runtime.js';
import type { AccessRule } from '../../protocol/settings/access-config.js';
import { RegistryError } from '../../protocol/errors.js';
import { RuleSet } from './rules.js';

/** All rules at one revision of the stored ones. */
interface Snapshot {
  readonly revision: number | string;
  readonly list: readonly RuleRecord[];
  readonly rules: RuleSet;
}

/** Stores the rules that are managed through the API, and combines them with the rules that the options declare. */
export class StoredRuleBook implements RuleBook {
  readonly #declared: readonly RuleRecord[];
  readonly #metadata: Documents & MetadataWriter;
  readonly #runtime: Runtime;
  #snapshot: Snapshot | undefined;

  constructor(declared: readonly AccessRule[], metadata: Documents & MetadataWriter, runtime: Runtime) {
    this.#declared = declared.map((rule, i) => ({ id: `declared-${i + 1}`, origin: 'declared', rule }));
    this.#metadata = metadata;
    this.#runtime = runtime;
  }

  async list(): Promise<readonly RuleRecord[]> {
    return (await this.#current()).list;
  }

  /** Returns the current rules. Cheap enough for every request: returns the same object until a rule changes. */
  async rules(): Promise<RuleSet> {
    return (await this.#current()).rules;
  }

  async create(rule: AccessRule, by: Actor): Promise<RuleRecord> {
    const id = this.#runtime.newId();
    await this.#metadata.apply([putRule(id, rule)], {
      durable: true,
      require: [ruleIs(id, 'absent')],
      by: this.#now(by),
    });
    return { id, origin: 'managed', rule };
  }

  async replace(id: string, rule: AccessRule, by: Actor): Promise<RuleRecord | undefined> {
    const isReplaced = await this.#change(id, putRule(id, rule), by);
    return isReplaced ? { id, origin: 'managed', rule } : undefined;
  }

  async delete(id: string, by: Actor): Promise<boolean> {
    return this.#change(id, { type: 'document.delete', kind: 'rule', id }, by);
  }

  /** Returns false if the rule does not exist. @throws RegistryError CONFLICT for a declared rule. */
  async #change(id: string, change: Change, by: Actor): Promise<boolean> {
    if (this.#declared.some((record) => record.id === id)) {
      const message = `rule "${id}" is declared in the options of the registry: change it there`;
      throw new RegistryError('CONFLICT', { message, detail: { rule: id } });
    }
    return this.#metadata.tryApply([change], { durable: true, require: [ruleIs(id, 'present')], by: this.#now(by) });
  }

  #now(actor: Actor): Attribution {
    return { actor, at: this.#runtime.now() };
  }

  /** Compares the revision of the store, because other processes may write too. */
  async #current(): Promise<Snapshot> {
    const revision = await this.#metadata.documentRevision('rule');
    if (this.#snapshot?.revision !== revision) {
      const stored = await this.#metadata.documents('rule');
      // Only this class writes documents of the kind `rule`.
      const managed = stored.map(({ id, value }): RuleRecord => ({ id, origin: 'managed', rule: value as AccessRule }));
      const list = [...this.#declared, ...managed];
      this.#snapshot = { revision, list, rules: new RuleSet(list.map(({ rule }) => rule)) };
    }
    return this.#snapshot;
  }
}

function putRule(id: string, rule: AccessRule): Change {
  return { type: 'document.put', kind: 'rule', id, value: rule };
}

function ruleIs(id: string, is: 'present' | 'absent'): Precondition {
  return { type: 'document', kind: 'rule', id, is };
}
