/** Pages of lists. */
export interface PageRequest {
  readonly limit: number;
  /** Exclusive; need not exist. */
  readonly after?: string;
}

export interface Page<T> {
  readonly items: readonly T[];
  /** True when there are items after the last of these. */
  readonly more: boolean;
}
