// A program of a user whose shared library has tollgate inside.
bool user_library_admits(int tokens);

int main() { return user_library_admits(60) && !user_library_admits(101) ? 0 : 1; }
