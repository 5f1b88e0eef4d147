import { RegistryError } from '../../src/index.js';

/** The error of ours that the task throws; anything else that happens fails the test. */
export function refusalOf(task: () => unknown): RegistryError {
  try {
    task();
  } catch (error) {
    if (error instanceof RegistryError) return error;
    throw error;
  }
  throw new Error('it was not refused');
}
