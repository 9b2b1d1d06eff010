# Decides how the library is built for 64-bit Arm on another machine, and run there under QEMU's user mode.
# Debian: g++-aarch64-linux-gnu qemu-user.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64 -L /usr/aarch64-linux-gnu)
# Packages of headers alone (doctest, Eigen, CLI11, nlohmann-json) serve every machine.
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
