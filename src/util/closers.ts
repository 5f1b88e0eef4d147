/**
 * Collects cleanup steps while parts are opened one after the other. `close` runs all of them in reverse order, even
 * after one has failed.
 */
export class Closers {
  readonly #steps: { readonly name: string; readonly close: () => unknown }[] = [];
  #closing: Promise<void> | undefined;

  /** Adds a step. @param name names the step in the error of `close` */
  add(name: string, close: () => unknown): void {
    this.#steps.push({ name, close });
  }

  /**
   * Runs every step once, even when called several times. @throws AggregateError with the errors of all failed steps
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
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
