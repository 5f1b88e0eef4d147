import { createHash } from 'node:crypto';

/** A statement with a fixed text. The server prepares it once per connection, under its name. */
export interface Statement {
  readonly name: string;
  readonly text: string;
}

/** Runs statements, each in a transaction of its own or all in one. */
export interface Executor {
  /** Returns the rows. The caller declares their shape, which follows from the text of the statement. */
  rows<T extends object>(statement: Statement, values?: readonly unknown[]): Promise<readonly T[]>;
}

/**
 * Creates a statement. The name follows from the text, so that two releases on one connection of a pooler never clash.
 */
export function sql(text: string): Statement {
  const name = createHash('sha256').update(text).digest('hex').slice(0, 24);
  return { name: `a${name}`, text };
}
