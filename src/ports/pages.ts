/** Pages of lists. */
export interface PageRequest {
  readonly limit: number;
  /** The item after which the page starts; it need not exist. */
  readonly after?: string;
}

export interface Page<T> {
  readonly items: readonly T[];
  /** True when more items follow. */
  readonly more: boolean;
}
