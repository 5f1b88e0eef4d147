/** The thread that verifies passwords, one after the other: bcrypt is slow on purpose, and nothing else may wait for it. */
import { compareSync } from 'bcryptjs';
import { parentPort } from 'node:worker_threads';

export interface PasswordRequest {
  readonly password: string;
  readonly hash: string;
}

export type PasswordReply = { readonly matches: boolean } | { readonly failure: string };

function verify({ password, hash }: PasswordRequest): PasswordReply {
  try {
    return { matches: compareSync(password, hash) };
  } catch (error) {
    return { failure: error instanceof Error ? error.message : String(error) };
  }
}

parentPort?.on('message', (request: PasswordRequest) => parentPort?.postMessage(verify(request)));
