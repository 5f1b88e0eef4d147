/** The thread that verifies passwords, one after the other. bcrypt is slow on purpose, and nothing else may wait for it. */
import { compareSync } from 'bcryptjs';
import { parentPort } from 'node:worker_threads';

/** Asks the thread to verify a password. */
export interface PasswordRequest {
  readonly password: string;
  readonly hash: string;
}

/** The result of a verification, or why it failed. */
export type PasswordReply = { readonly matches: boolean } | { readonly failure: string };

function verify({ password, hash }: PasswordRequest): PasswordReply {
  try {
    return { matches: compareSync(password, hash) };
  } catch (error) {
    return { failure: error instanceof Error ? error.message : String(error) };
  }
}

parentPort?.on('message', (request: PasswordRequest) => parentPort?.postMessage(verify(request)));
