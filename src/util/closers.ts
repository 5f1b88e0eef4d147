/**
 * Helpers without knowledge of registries: addresses and closers here, `scheduling/`, `streams/`, and `outgoing/` for
 * connections to other servers. Every layer but protocol/ and ports/ may import it; it imports protocol/ and types of
 * ports/.
 */

/**
 * Collects the steps that close opened parts. `close` runs them in reverse order, and a failing step does not stop the
 * others.
 */
export class Closers {
  readonly #steps: { readonly name: string; readonly close: () => unknown }[] = [];
  #closing: Promise<void> | undefined;

  /** Adds a step. @param name names the step in the error of `close` */
  add(name: string, close: () => unknown): void {
    this.#steps.push({ name, close });
  }

  /**
   * Runs every step once, even when called several times.
   * @throws AggregateError with the errors of all failed steps
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /**
   * Undoes a failed open: runs every step and then throws the error that made it fail.
   * @throws AggregateError with that error as its cause when steps fail too.
   */
  async undo(failure: unknown): Promise<never> {
    const closing: unknown = await this.close().then(
      () => undefined,
      (cause: unknown) => cause,
    );
    if (closing !== undefined) {
      const message = `${failure instanceof Error ? failure.message : String(failure)} (${(closing as Error).message})`;
      throw new AggregateError([failure, closing], message, { cause: failure });
    }
    throw failure;
  }

  async #close(): Promise<void> {
    const failures: { readonly name: string; readonly error: unknown }[] = [];
    for (const { name, close } of this.#steps.toReversed()) {
      try {
        await close();
      } catch (error) {
        failures.push({ name, error });
      }
    }
    if (failures.length === 0) return;
    const reasons = failures.map(
      ({ name, error }) => `${name}: ${error instanceof Error ? error.message : String(error)}`,
    );
    const errors = failures.map(({ error }) => error);
    throw new AggregateError(errors, `closing failed: ${reasons.join('; ')}`);
  }
}
