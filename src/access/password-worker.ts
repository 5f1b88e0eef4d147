/** The thread that verifies passwords, one after the other: bcrypt is slow on purpose, and nothing else may wait for it. */
import { compareSync } from 'bcryptjs';
import { parentPort } from 'node:worker_threads';

export interface PasswordRequest {
  readonly job: number;
  readonly password: string;
  readonly hash: string;
}

export type PasswordReply =
  { readonly job: number; readonly matches: boolean } | { readonly job: number; readonly failure: string };

function verify({ job, password, hash }: PasswordRequest): PasswordReply {
  try {
    return { job, matches: compareSync(password, hash) };
  } catch (error) {
    return { job, failure: error instanceof Error ? error.message : String(error) };
  }
}

parentPort?.on('message', (request: PasswordRequest) => parentPort?.postMessage(verify(request)));
