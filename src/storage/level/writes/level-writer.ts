/**
 * One write to the index: the changes become operations (`level-changes.ts`), preconditions are checked against a view,
 * and concurrent writes are grouped into one batch.
 */

import { toStorageError } from '../../files/storage-errors.js';
import { LevelView, type LevelBase, type Operation } from '../level-view.js';

/** The part of the index that the writer needs. */
export interface LevelTarget extends LevelBase {
  /** Called before a group reads or writes. Rejects while the index refuses writes. */
  ready(): Promise<void>;
  write(operations: readonly Operation[], sync: boolean): Promise<void>;
  /** Called after a write: updates the data in memory. */
  written(operations: readonly Operation[]): void;
}

interface Task {
  readonly durable: boolean;
  /** Checks preconditions and writes to the draft. When it throws, the draft is dropped and nothing else happens. */
  readonly work: (view: LevelView) => Promise<void>;
  readonly resolve: () => void;
  readonly reject: (reason: unknown) => void;
}

/**
 * The only writer. All tasks that queue up during a write form the next group: one batch and one flush. Each task sees
 * the writes of the tasks before it, so a precondition that holds here still holds when the batch is written.
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

  /** Resolves when the queue is empty. */
  async idle(): Promise<void> {
    while (this.#draining !== undefined) await this.#draining;
  }

  async #drain(): Promise<void> {
    // Tasks added in the same turn of the event loop join the first group.
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
      const operations = await view.operations();
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

  /** Runs the tasks against the view. Returns those that succeeded, and rejects the others. */
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
