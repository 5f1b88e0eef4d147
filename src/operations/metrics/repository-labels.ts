/** Repositories with a label of their own. Further ones share one, so that the number of series is bounded. */
const maxRepositories = 200;

/** Returns a function that returns the `repository` label of a repository: its name, or `other` after the first 200. */
export function createRepositoryLabels(): (name: string) => string {
  const known = new Set<string>();
  return (name) => {
    if (known.has(name)) return name;
    if (known.size >= maxRepositories) return 'other';
    known.add(name);
    return name;
  };
}
