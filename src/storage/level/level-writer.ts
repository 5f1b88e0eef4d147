import { toStorageError } from '../files/storage-errors.js';
import { LevelView, type LevelBase, type Operation } from './level-view.js';

/** What a writer needs of the store. */
export interface LevelTarget extends LevelBase {
  /** Called before a group reads or writes. Rejects while writes are refused. */
  ready(): Promise<void>;
  write(operations: readonly Operation[], sync: boolean): Promise<void>;
  /** After a write: bring what is kept in memory up to date. */
  written(operations: readonly Operation[]): void;
}

interface Task {
  readonly durable: boolean;
  /** Checks and writes to the draft; when it throws, the draft is dropped and nothing else happens. */
  readonly work: (view: LevelView) => Promise<void>;
  readonly resolve: () => void;
  readonly reject: (reason: unknown) => void;
}

/**
 * The one writer: whatever waits when a write ends goes into the next one together, as one batch and one flush. Each task
 * sees the index with the tasks before it, so a precondition that holds here holds when the batch is written.
 */
export class LevelWriter {
  readonly #target: LevelTarget;
  #waiting: Task[] = [];
  #draining: Promise<void> | undefined;

  constructor(target: LevelTarget) {
    this.#target = target;
  }

  run(work: (view: LevelView) => Promise<void>, durable: boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ durable, work, resolve, reject });
      this.#draining ??= this.#drain();
    });
  }

  /** Resolves when nothing waits any more. */
  async idle(): Promise<void> {
    while (this.#draining !== undefined) await this.#draining;
  }

  async #drain(): Promise<void> {
    // Whoever asks in this same turn joins the first group.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const group = this.#waiting;
      this.#waiting = [];
      await this.#writeGroup(group);
    }
    this.#draining = undefined;
  }

  async #writeGroup(group: readonly Task[]): Promise<void> {
    let waiting = group;
    try {
      await this.#target.ready();
      const view = new LevelView(this.#target);
      waiting = await this.#draft(group, view);
      const operations = view.operations();
      if (operations.length > 0) {
        await this.#target.write(
          operations,
          waiting.some(({ durable }) => durable),
        );
        this.#target.written(operations);
      }
      for (const task of waiting) task.resolve();
    } catch (error) {
      for (const task of waiting) task.reject(toStorageError(error));
    }
  }

  /** Returns the tasks whose writes are in the view; the others are rejected. */
  async #draft(group: readonly Task[], view: LevelView): Promise<readonly Task[]> {
    const accepted: Task[] = [];
    for (const task of group) {
      try {
        await task.work(view);
        view.keep();
        accepted.push(task);
      } catch (error) {
        view.drop();
        task.reject(toStorageError(error));
      }
    }
    return accepted;
  }
}
